"""Ingestors as the engine meets them: real processes, and venues as real WebSocket servers on a local port."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.http11 import Response

sys.path.insert(0, str(Path(__file__).parent))
from local_venue import LocalVenue, Script, VenueServer

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 20.0


def clean_environment(**more: str) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FINSTREAM_")}
    return {**environment, **more}


class Program:
    """A running ingestor. Its lines are read as they come; waiting for one ends with the test's deadline."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=PROJECT
        )
        self.lines: list[Any] = []
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._stderr = b""
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._read_stderr)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        self._stderr = self.process.stderr.read()

    def next(self) -> Any:
        """The next line, parsed; fails the test if none comes."""
        line = self._queue.get(timeout=DEADLINE_S)
        if line is None:
            pytest.fail(f"the ingestor ended: {self.wait()} {self.stderr}")
        self.lines.append(json.loads(line))
        return self.lines[-1]

    def next_tick(self) -> Any:
        while True:
            line = self.next()
            if "type" not in line:
                return line

    def ticks(self, count: int) -> list[Any]:
        """The next ticks, so many."""
        return [self.next_tick() for _ in range(count)]

    def next_status(self, state: str) -> str:
        """The detail of the next status line of this state."""
        while True:
            line = self.next()
            if line.get("type") == "status" and line["state"] == state:
                return str(line["detail"])

    def fall_silent(self, seconds: float) -> None:
        """Wait until no line comes for so long."""
        deadline = time.monotonic() + DEADLINE_S
        try:
            while self._queue.get(timeout=seconds) is not None:
                assert time.monotonic() < deadline, "it still prints"
        except queue.Empty:
            return
        pytest.fail("it ended")

    def terminate(self) -> int:
        """SIGTERM; returns the exit code and fails if it takes more than the five seconds of the contract."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5.0)

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    @property
    def stderr(self) -> str:
        self._threads[1].join(DEADLINE_S)
        return self._stderr.decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Start ``finstream_ingestors.NAME`` with arguments and environment variables."""
    programs: list[Program] = []

    def start_one(name: str, *arguments: str, **environment: str) -> Program:
        command = [sys.executable, "-m", f"finstream_ingestors.{name}", *arguments]
        programs.append(Program(command, clean_environment(**environment)))
        return programs[-1]

    yield start_one
    for program in programs:
        program.close()


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``finstream_ingestors.NAME`` to its end."""

    def run_one(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"finstream_ingestors.{name}", *arguments],
            capture_output=True, text=True, errors="surrogateescape", timeout=60, check=False,
            env=clean_environment(**environment), cwd=PROJECT,
        )

    return run_one


@pytest.fixture
def venue() -> Iterator[Callable[..., VenueServer]]:
    """Start a venue with a script for each connection."""
    servers: list[VenueServer] = []

    def start_one(*scripts: Script, refusals: Sequence[Response] = ()) -> VenueServer:
        servers.append(VenueServer(scripts, refusals))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


@pytest.fixture
def local() -> Iterator[Callable[..., LocalVenue]]:
    """Start a venue of a kind, with an act for each connection."""
    servers: list[LocalVenue] = []

    def start_one(kind: type[LocalVenue], *arguments: Any, **options: Any) -> LocalVenue:
        servers.append(kind(*arguments, **options))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


@pytest.fixture
def recordings() -> Path:
    """The folder of recorded venue messages, which is not part of the project."""
    folder = PROJECT.parent / "shared" / "fixtures"
    if not folder.is_dir():
        pytest.skip("the recorded venue messages are not here (../shared/fixtures)")
    return folder


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for something outside the program; fails after the deadline."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "did not happen in time"
            time.sleep(0.01)

    return wait
