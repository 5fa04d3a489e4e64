"""A real engine process, as its operator starts it, and what its users see of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAM = "import sys; from pathlib import Path; from finstream.engine import main; sys.exit(main(Path(sys.argv[1])))"
TICKER = """#!/bin/sh
# Ticks of BTC/USDT: the price is the number of the tick.
n=0
while :; do
  n=$((n+1))
  printf '{"symbol":"%s","price":"%s","volume":"0.50","trade_id":%s,"ts":%s}\\n' \\
    "${SYMBOL:-BTC/USDT}" $n $n "$(date +%s%N)"
  sleep "${PERIOD:-0.02}"
done
"""
FLOOD = """#!/bin/sh
# As fast as the pipe takes it.
yes '{"symbol":"BTC/USDT","price":"1.5","volume":"1","ts":'"$(date +%s)"',"filler":"'"$(printf '%0800d' 0)"'"}'
"""
STUBBORN = """#!/bin/sh
# Does not leave when it is asked to.
trap '' TERM
while :; do sleep 0.1; done
"""
GARBAGE = """#!/bin/sh
while :; do echo 'not json'; echo '{"symbol":"X","price":"1e999999","ts":1}'; sleep 0.05; done
"""


def until(ask: Callable[[], Any], within_s: float = 15) -> Any:
    """What ``ask`` returns, once that is true."""
    deadline = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return answer


class EngineProcess:
    """Its configuration is ``config``: change it before :meth:`start`, or call :meth:`configure` at any time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "config.yaml"
        self.scripts = {}
        for name, text in (("ticker", TICKER), ("flood", FLOOD), ("stubborn", STUBBORN), ("garbage", GARBAGE)):
            script = directory / f"{name}.sh"
            script.write_text(text)
            script.chmod(0o755)
            self.scripts[name] = str(script)
        self.config: dict[str, Any] = {
            "mode": "simulation",
            "listen": {"public": "127.0.0.1:0", "stream": "127.0.0.1:0", "admin": "127.0.0.1:0"},
            "state": {"path": str(directory / "state.db")},
            "dead_letters": {"path": str(directory / "dead.jsonl")},
            "assets": {"tick": self.asset("ticker")},
        }
        self.program = PROGRAM
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FINSTREAM")}
        self.ready: dict[str, str] = {}
        self.process: subprocess.Popen[bytes]
        self._open = ExitStack()
        self.http = self._open.enter_context(httpx.Client(trust_env=False, timeout=20))

    def asset(self, script: str, **settings: Any) -> dict[str, Any]:
        return {"command": [self.scripts[script]], "origin": "synthetic", "linger_s": 0.2, **settings}

    def configure(self) -> None:
        """Write the configuration, in one stroke."""
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.config))  # JSON is YAML
        beside.replace(self.path)

    # --- its life ---

    def launch(self, stderr: int | None = None) -> subprocess.Popen[bytes]:
        """``stderr``: a descriptor to log to, instead of a file."""
        self.configure()
        if hasattr(self, "process") and self.process.stdout is not None:
            self.process.stdout.close()
        self.log_path = self.directory / f"log-{time.monotonic_ns()}.jsonl"
        log = self._open.enter_context(self.log_path.open("wb"))
        command = [sys.executable, "-c", self.program, str(self.path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log if stderr is None else stderr,
            env=self.environment, cwd=self.directory,
        )  # fmt: skip
        return self.process

    def start(self) -> EngineProcess:
        self.launch()
        self.await_ready()
        return self

    def await_ready(self) -> dict[str, str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log_text()
        self.ready = json.loads(line)
        return self.ready

    def stop(self, number: int = signal.SIGTERM, within_s: float = 15) -> int:
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def clean_up(self) -> None:
        self._open.close()
        if not hasattr(self, "process"):
            return
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def log_text(self) -> str:
        return self.log_path.read_text()

    def log(self, event: str, least: int = 0) -> list[dict[str, Any]]:
        """Its log lines with this event so far, once there are at least so many: they are written a moment later."""

        def found() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in self.log_text().splitlines()]
            return [line for line in lines if line["event"] == event]

        until(lambda: len(found()) >= least)
        return found()

    # --- its interfaces ---

    def public(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(method, self.ready["public"] + path, **options)

    def admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(method, self.ready["admin"] + path, **options)

    def register(self) -> str:
        answer = self.public("POST", "/v1/clients")
        assert answer.status_code == 201, answer.text
        uuid: str = answer.json()["uuid"]
        return uuid

    def client(self, uuid: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.public("GET", f"/v1/clients/{uuid}").json()
        return answer

    def asset_state(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.public("GET", f"/v1/assets/{name}").json()
        return answer

    def stream_url(self, uuid: str) -> str:
        return f"{self.ready['stream']}/v1/stream?client={uuid}"

    def connect(self, uuid: str, **options: Any) -> ClientConnection:
        return connect(self.stream_url(uuid), proxy=None, close_timeout=1, **options)


def hear(client: ClientConnection, kind: str | None = None, within_s: float = 10) -> dict[str, Any]:
    """The next message, or the next one of a type."""
    deadline = time.monotonic() + within_s
    while True:
        message: dict[str, Any] = json.loads(client.recv(timeout=max(0.01, deadline - time.monotonic())))
        if kind is None or message["type"] == kind:
            return message


def processes(marked: str) -> list[int]:
    """Those whose environment or command line holds the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if marked.encode() in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    """Not started yet."""
    process = EngineProcess(tmp_path)
    yield process
    process.clean_up()


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """Started, and to be left as it was found."""
    process = EngineProcess(tmp_path_factory.mktemp("engine")).start()
    yield process
    process.clean_up()


@pytest.fixture(scope="session")
def tools() -> Any:
    """The helpers of this file; tests do not import from one another."""

    class Tools:
        until = staticmethod(until)
        hear = staticmethod(hear)
        processes = staticmethod(processes)

    return Tools
