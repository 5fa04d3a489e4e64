"""FinStream itself, by its contracts alone: configuration in, ready line out, one registration for each subscriber.

``FINSTREAM`` in the environment names another ``finstream`` command to stream with (of another checkout, say); the
parser is always that of this interpreter.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bench.load_client import Endpoint
from bench.processes import Program, TrialFailed
from bench.systems.base import ParsingSystem, StreamingSystem, versions_of

_READY_TIMEOUT_S = 20.0
_OUTBOX_BYTES = 64 << 20
"""More than the default of 1 MiB, of which a single subscriber at millions of ticks/s would use up all in 2 ms: one
turn of the kernel's scheduler while the client waits for its core. The bound on age stays."""


class _Ready(msgspec.Struct):
    public: str
    stream: str


class _Registered(msgspec.Struct):
    uuid: str


class _Engine:
    def __init__(self, program: Program, ready: _Ready) -> None:
        self._program = program
        self._ready = ready

    @property
    def pids(self) -> list[int]:
        return [self._program.pid]

    def endpoint(self, subscribers: int) -> Endpoint:
        public = http.client.HTTPConnection(urlsplit(self._ready.public).netloc, timeout=30)
        try:
            paths = tuple(f"/v1/stream?client={self._register(public)}" for _ in range(subscribers))
        except OSError as error:
            raise TrialFailed(f"registering a client: {error}") from error
        finally:
            public.close()
        stream = urlsplit(self._ready.stream)
        assert stream.port is not None
        return Endpoint(
            port=stream.port,
            paths=paths,
            hello=('{"op":"subscribe","topics":["bench"],"id":1}',),
            ready_text='"type":"subscribed"',
            stamp_member="ts_event",
            stamp_unit_ns=1000,
        )

    def _register(self, public: http.client.HTTPConnection) -> str:
        public.request("POST", "/v1/clients", body=b"{}", headers={"content-type": "application/json"})
        answer = public.getresponse()
        body = answer.read()
        if answer.status >= 300:
            raise TrialFailed(f"registering a client: {answer.status} {body[:200]!r}")
        return msgspec.json.decode(body, type=_Registered).uuid


class FinStream(ParsingSystem, StreamingSystem):
    name = "finstream"
    work = "typed"
    note = f"outbox_bytes {_OUTBOX_BYTES >> 20} MiB instead of 1; mode simulation, so every message says so"

    def missing(self) -> str | None:
        return None if self._command() else "the finstream command is not installed: pip install -e ."

    def versions(self) -> dict[str, str]:
        return versions_of("finstream", "trio", "trio-websocket")

    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        from finstream import _fastpath

        return _fastpath.measure(lines, repeat)

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[_Engine]:
        command = self._command()
        assert command is not None
        settings = {
            "mode": "simulation",
            "listen": {"public": "127.0.0.1:0", "stream": "127.0.0.1:0", "admin": "127.0.0.1:0"},
            "state": {"path": str(directory / "state.db")},
            "dead_letters": {"path": str(directory / "dead-letters.jsonl")},
            "limits": {"outbox_bytes": _OUTBOX_BYTES},
            "logs": {"level": "warning"},
            "assets": {
                "bench": {
                    "command": ingestor,
                    "kind": "pricing",
                    "origin": "synthetic",
                    "start": "always",
                    "stdout_full_s": None,
                }
            },
        }
        config = directory / "config.yaml"
        config.write_bytes(msgspec.yaml.encode(settings))
        engine = Program([command, "run", "--config", str(config)], directory=directory, name="finstream")
        try:
            try:
                ready = msgspec.json.decode(engine.lines.read(_READY_TIMEOUT_S), type=_Ready)
            except TrialFailed as error:
                raise TrialFailed(f"{error}: {engine.last_words()}") from error
            yield _Engine(engine, ready)
        finally:
            engine.stop()

    @staticmethod
    def _command() -> str | None:
        """The command that belongs to this interpreter, not the one that happens to be first on the PATH."""
        return shutil.which(os.environ.get("FINSTREAM") or str(Path(sys.executable).parent / "finstream"))


SYSTEMS = (FinStream(),)
