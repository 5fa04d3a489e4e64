"""Python's `websockets` with its broadcast: typed work by msgspec with Decimal, or a bare relay."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from bench.load_client import Endpoint
from bench.processes import Program
from bench.systems.base import StreamingSystem, free_port, versions_of, wait_for_port

_ROOT = Path(__file__).parent.parent.parent


class _Server:
    def __init__(self, program: Program, port: int) -> None:
        self._program = program
        self._port = port

    @property
    def pids(self) -> list[int]:
        return [self._program.pid]

    def endpoint(self, _subscribers: int) -> Endpoint:
        return Endpoint(port=self._port)


class Websockets(StreamingSystem):
    def __init__(self, name: str, work: Literal["typed", "relay"], note: str) -> None:
        self.name = name
        self.work = work
        self.note = note

    def missing(self) -> str | None:
        return None if importlib.util.find_spec("websockets") else "pip install websockets"

    def versions(self) -> dict[str, str]:
        return versions_of("websockets", "msgspec") if self.work == "typed" else versions_of("websockets")

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[_Server]:
        port = free_port()
        producer = Program(ingestor, directory=directory, name="producer")
        try:
            server = Program(
                [sys.executable, "-m", "bench.peers.websockets_server", str(port), self.work],
                directory=directory, name=self.name, stdin=producer.stdout, env={"PYTHONPATH": str(_ROOT)},
            )  # fmt: skip
            try:
                wait_for_port(port, server)
                yield _Server(server, port)
            finally:
                server.stop(grace_s=3.0)
        finally:
            producer.stop(grace_s=1.0)


SYSTEMS = (
    Websockets(
        "websockets",
        "typed",
        "one asyncio process: msgspec with Decimal, then the library's broadcast; no bound on what is queued",
    ),
    Websockets("websockets-relay", "relay", "the same without looking at the ticks"),
)
