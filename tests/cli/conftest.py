"""Real processes on both sides: a `finstream` command line, and an engine for it to talk to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

COMMAND = [sys.executable, "-m", "finstream.cli"]
WITHIN_S = 30.0

CONFIG = """\
mode: simulation
listen: {{public: "127.0.0.1:{ports[0]}", stream: "127.0.0.1:{ports[1]}", admin: "127.0.0.1:{ports[2]}"}}
state: {{path: {directory}/state.db, reconnect_window_s: 30}}
dead_letters: {{path: {directory}/dead.jsonl}}
assets:
  quick:
    origin: synthetic
    linger_s: 0.2
    command: [python, -m, finstream_ingestors.sim, --rate, "200", --symbols, "BTC/USDT,ETH/USDT"]
  spare:
    origin: synthetic
    command: [python, -m, finstream_ingestors.sim, --rate, "5"]
"""


class Engine:
    """A running engine, with the environment in which commands find it."""

    def __init__(self, process: subprocess.Popen[str], config: Path, ready: dict[str, str]) -> None:
        self.process = process
        self.config = config
        self.addresses = ready
        self.environment = {
            **os.environ,
            "FINSTREAM_PUBLIC": ready["public"],
            "FINSTREAM_STREAM": ready["stream"],
            "FINSTREAM_ADMIN": ready["admin"],
        }


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest.fixture
def ports() -> Callable[[int], list[int]]:
    """So many ports on which nobody listens now."""
    return free_ports


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Starts engines of the test's own; ``log`` is where they write theirs."""
    started: list[subprocess.Popen[str]] = []

    def start(config: str = CONFIG) -> Engine:
        file = tmp_path / "engine.yaml"
        file.write_text(config.format(ports=free_ports(3), directory=tmp_path))
        engine = _start(file, tmp_path / "engine.log")
        started.append(engine.process)
        return engine

    yield start
    for process in started:
        _stop(process)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all tests of a module; they leave it as they found it."""
    directory = tmp_path_factory.mktemp("engine")
    file = directory / "engine.yaml"
    file.write_text(CONFIG.format(ports=free_ports(3), directory=directory))
    engine = _start(file, directory / "engine.log")
    yield engine
    _stop(engine.process)


def _start(config: Path, log: Path) -> Engine:
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=config.parent,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the engine did not become ready:\n{log.read_text()}"
    return Engine(process, config, msgspec.json.decode(line))


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(WITHIN_S)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def finstream(request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end. It talks to the module's engine if the test has that, else to where nobody is."""
    environment = _environment(request)

    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        settings = {"env": environment, "capture_output": True, "text": True, "timeout": WITHIN_S} | settings
        return subprocess.run([*COMMAND, *arguments], check=False, **settings)

    return run


@pytest.fixture
def finstream_process(request: pytest.FixtureRequest) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command and leave it running; it is killed when the test ends."""
    environment = _environment(request)
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
        settings = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | settings
        process = subprocess.Popen([*COMMAND, *arguments], **settings)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _environment(request: pytest.FixtureRequest) -> dict[str, str]:
    if "engine" in request.fixturenames:
        found: Engine = request.getfixturevalue("engine")
        return found.environment
    nobody = {f"FINSTREAM_{side}": "127.0.0.1:1" for side in ("PUBLIC", "STREAM", "ADMIN")}
    return {**os.environ, **nobody}


@pytest.fixture
def until() -> Callable[..., Any]:
    """Poll something of another process until it is true, and return it."""

    def poll(condition: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{condition} did not come true within {within_s} s"
            time.sleep(0.02)
        return value

    return poll


@pytest.fixture
def interrupt() -> Callable[[subprocess.Popen[str]], tuple[int, str, str]]:
    """Ctrl-C: returns exit code, stdout, stderr."""

    def send(process: subprocess.Popen[str]) -> tuple[int, str, str]:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WITHIN_S)
        return process.returncode, out, err

    return send
