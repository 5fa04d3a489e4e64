"""The NOC's page, as it was built, and engines that serve it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from noc_tab import Open, opening

SIDES = ("public", "stream", "admin")
ROOT = Path(__file__).parents[2]
BUILT = ROOT / "finstream/page"
PROGRAM = "import sys; from pathlib import Path; from finstream.engine import main; sys.exit(main(Path(sys.argv[1])))"
GARBAGE = """#!/bin/sh
# Lines that would be HTML, were they not text.
while :; do echo '<img src="/v1/none" onerror="document.title=1"><b>no tick</b>'; sleep 0.2
  printf 'turned \\342\\200\\256 around\\n'; sleep 0.2; done
"""
TELLER = """#!/bin/sh
# Ticks of the symbols that it is called with, four times a second.
while :; do
  for symbol; do
    printf '{"type":"tick","symbol":"%s","exchange":"here","price":"1.5","ts_event":%s}\\n' "$symbol" "$(date +%s%6N)"
  done
  sleep 0.25
done
"""


def until(ask: Callable[[], Any], within_s: float = 20) -> Any:
    """What ``ask`` returns, once that is true."""
    deadline = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return answer


def simulator(*options: str, **settings: Any) -> dict[str, Any]:
    command = ["python", "-m", "finstream_ingestors.sim", "--symbols", "BTC/USDT,ETH/USDT", *options]
    return {"command": command, "origin": "synthetic", "start": "always", **settings}


def free_ports() -> list[int]:
    """For the three sides: fixed ones, since the page has to find the engine again after a restart."""
    with ExitStack() as taken:
        sockets = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in SIDES]
        return [each.getsockname()[1] for each in sockets]


class Engine:
    """Its configuration is ``config``: change it before :meth:`start`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / "config.yaml"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FINSTREAM")}
        garbage = directory / "garbage.sh"
        garbage.write_text(GARBAGE)
        garbage.chmod(0o755)
        self._teller = directory / "teller.sh"
        self._teller.write_text(TELLER)
        self._teller.chmod(0o755)
        self.config: dict[str, Any] = {
            "mode": "simulation",
            "listen": {side: f"127.0.0.1:{port}" for side, port in zip(SIDES, free_ports(), strict=True)},
            "state": {"path": str(directory / "state.db")},
            "dead_letters": {"path": str(directory / "dead.jsonl")},
            "assets": {
                "swift": simulator("--rate", "40", "--lag-ms", "2"),
                "slow": simulator("--rate", "10", "--lag-ms", "1500"),
                "bad": {"command": [str(garbage)], "origin": "synthetic", "start": "always"},
            },
        }
        self.ready: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(trust_env=False, timeout=20)

    def teller(self, *symbols: str, **settings: Any) -> dict[str, Any]:
        """An asset that costs next to nothing."""
        return {"command": [str(self._teller), *symbols], "origin": "synthetic", "start": "always", **settings}

    def start(self) -> Engine:
        self.path.write_text(json.dumps(self.config))
        with (self._directory / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=self.environment, cwd=ROOT,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self._directory / "engine.log").read_text()
        self.ready = json.loads(line)
        return self

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def asset(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"{self.ready['public']}/v1/assets/{name}").json()
        return answer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Not started yet."""
    engine = Engine(tmp_path)
    yield engine
    engine.end()
    engine.http.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Started, and to be left as it was found. It has a sink, too."""
    engine = Engine(tmp_path_factory.mktemp("shared"))
    engine.config["sinks"] = {"quiet": {"command": ["sh", "-c", "cat > /dev/null"], "topics": ["swift"]}}
    yield engine.start()
    engine.end()
    engine.http.close()


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder of the page's files."""
    if not (BUILT / "index.html").exists():
        pytest.skip("needs the page: make page")
    return BUILT


@pytest.fixture(scope="session")
def tools() -> Any:
    """The helpers of this file; tests do not import from one another."""

    class Tools:
        until = staticmethod(until)
        simulator = staticmethod(simulator)

    return Tools


@pytest.fixture
def open_page(browser: Any, shared: Any, built: Path) -> Iterator[Open]:
    with opening(browser, shared) as open_it:
        yield open_it


@pytest.fixture
def open_own(browser: Any, engine: Any, built: Path) -> Iterator[Open]:
    """On an engine of the test's own, which is started only then."""
    with opening(browser, engine) as open_it:
        yield open_it
