"""A real engine for one scenario, on ports that outlive its restarts."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

SCENARIOS = Path(__file__).resolve().parents[3] / "conformance"


def filled(value: Any, names: dict[str, Any]) -> Any:
    """``value`` with each ``{name}`` in its strings replaced; names that are unknown stay."""
    if isinstance(value, str):
        return re.sub(r"\{([\w.]+)\}", lambda found: str(names.get(found[1], found[0])), value)
    if isinstance(value, list):
        return [filled(one, names) for one in value]
    if isinstance(value, dict):
        return {name: filled(one, names) for name, one in value.items()}
    return value


def merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {name: merged(below.get(name), value) for name, value in above.items()}
    return above


def free_ports(count: int) -> list[int]:
    """Of those that the system gives to nobody by itself: while an engine is away its ports stay free."""
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports: set[int] = set()
    while len(ports) < count:
        port = random.randrange(max(1024, first_given - 20_000), first_given)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.add(port)
    return list(ports)


class Engine:
    """Started by :meth:`start`; whoever made it calls :meth:`end`."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self._directory = directory
        self.public_port, self.stream_port, self.admin_port = ports = free_ports(3)
        names = dict(zip(("port.public", "port.stream", "port.admin"), ports, strict=True))
        names |= {"here": str(SCENARIOS), "directory": str(directory)}
        config = merged(json.loads((SCENARIOS / "base.json").read_text()), settings)
        self._config = directory / "config.json"
        self._config.write_text(json.dumps(filled(config, names)))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.public_port}"

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.stream_port}"

    def start(self) -> None:
        with (self._directory / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "finstream.cli", "run", "--config", str(self._config)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=self._directory,
                env={name: value for name, value in os.environ.items() if not name.startswith("FINSTREAM")},
            )  # fmt: skip
        self.await_ready()

    def await_ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self._directory / "engine.log").read_text()
        assert json.loads(line)["event"] == "ready"

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def end(self) -> None:
        if self._process is not None:
            self.stop()
