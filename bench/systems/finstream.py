"""FinStream itself, by its contracts alone: configuration in, ready line out, one registration for each subscriber.

``FINSTREAM`` in the environment names another ``finstream`` command to stream with (of another checkout, say); the
parser is always that of this interpreter.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench.load_client import Endpoint
from bench.processes import Program, TrialFailed
from bench.systems.base import (
    ArenaSystem,
    ControlledSystem,
    ControlPlane,
    OnDemandSystem,
    PolicySystem,
    RunningSystem,
    SdkSystem,
    StreamingSystem,
    SymbolSystem,
    versions_of,
)
from bench.systems.certificate import certificate_missing, make_certificate

_SDK_CLIENT = Path(__file__).parent.parent / "peers" / "sdk_client.py"
_READY_TIMEOUT_S = 20.0
_OUTBOX_BYTES = 64 << 20
"""More than the default of 1 MiB, of which a single subscriber at millions of ticks/s would use up all in 2 ms: one
turn of the kernel's scheduler while the client waits for its core. The bound on age stays."""
_MARKS_BYTES = 64 << 30
"""Of the memory guard: a thousand such outboxes may hold more than its defaults allow."""


class _Ready(msgspec.Struct):
    public: str
    stream: str
    admin: str


class _Registered(msgspec.Struct):
    uuid: str


class _Engine:
    def __init__(self, program: Program, ready: _Ready) -> None:
        self._program = program
        self.ready = ready
        self._tls = ready.public.startswith("https:")

    @property
    def pids(self) -> list[int]:
        return [self._program.pid]

    def endpoint(self, subscribers: int) -> Endpoint:
        netloc = urlsplit(self.ready.public).netloc
        public = http.client.HTTPConnection(netloc, timeout=30)
        if self._tls:  # on this machine, with a certificate of a moment ago
            public = http.client.HTTPSConnection(netloc, timeout=30, context=ssl._create_unverified_context())
        try:
            paths = tuple(f"/v1/stream?client={self._register(public)}" for _ in range(subscribers))
        except OSError as error:
            raise TrialFailed(f"registering a client: {error}") from error
        finally:
            public.close()
        stream = urlsplit(self.ready.stream)
        assert stream.port is not None
        return Endpoint(
            port=stream.port,
            paths=paths,
            hello=('{"op":"subscribe","topics":["bench"],"id":1}',),
            ready_text='"type":"subscribed"',
            stamp_member="ts_event",
            stamp_unit_ns=1000,
            tls=self._tls,
        )

    def _register(self, public: http.client.HTTPConnection) -> str:
        public.request("POST", "/v1/clients", body=b"{}", headers={"content-type": "application/json"})
        answer = public.getresponse()
        body = answer.read()
        if answer.status >= 300:
            raise TrialFailed(f"registering a client: {answer.status} {body[:200]!r}")
        return msgspec.json.decode(body, type=_Registered).uuid


class FinStream(ArenaSystem, SymbolSystem, PolicySystem, OnDemandSystem, ControlledSystem, SdkSystem):
    name = "finstream"
    work = "typed"
    note = (
        f"outbox_bytes {_OUTBOX_BYTES >> 20} MiB instead of 1, and memory marks to match; mode simulation, so every message says so"
    )

    def missing(self) -> str | None:
        return None if _command() else "the finstream command is not installed: pip install -e ."

    def versions(self) -> dict[str, str]:
        return versions_of("finstream", "trio", "trio-websocket")

    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        from finstream import _fastpath

        return _fastpath.measure(lines, repeat)

    def parse_among(self, lines: bytes, repeat: int, assets: int) -> tuple[int, int]:
        from finstream import _fastpath

        measure: Callable[..., tuple[int, int]] = _fastpath.measure
        return measure(lines, repeat, assets=assets)

    def parse_with(self, lines: bytes, repeat: int, **choices: Any) -> tuple[int, int]:
        """As :meth:`parse`, with other work on the tick's way: the keyword arguments of ``finstream._fastpath.measure``."""
        from finstream import _fastpath

        return _fastpath.measure(lines, repeat, **choices)

    def parse_among_missing(self) -> str | None:
        try:
            self.parse_among(b"", 0, 2)
        except TypeError:
            return "finstream._fastpath.measure of this build knows no `assets`: build the extension anew"
        return None

    def running(self, directory: Path, ingestor: list[str]) -> AbstractContextManager[_Engine]:
        return _engine(directory, ingestor, start="always")

    def waiting(self, directory: Path, ingestor: list[str]) -> AbstractContextManager[_Engine]:
        return _engine(directory, ingestor, start="on_demand")

    def selective(self, endpoint: Endpoint, subscribers: int, symbols: int, each: int) -> Endpoint:
        hellos = []
        for i in range(subscribers):
            topics = [f"bench:S{(i * each + k) % symbols}/USD" for k in range(each)]
            hellos.append(msgspec.json.encode({"op": "subscribe", "topics": topics, "id": 1}).decode())
        return msgspec.structs.replace(endpoint, hello=(), own_hellos=tuple(hellos), symbols=symbols, symbols_each=each)

    def with_policies(self, endpoint: Endpoint) -> Endpoint:
        chosen: list[dict[str, object]] = [{"policy": "conflate", "trades": "conflate"}, {"max_rate": 10}]
        hellos = [msgspec.json.encode({"op": "subscribe", "topics": ["bench"], **policy, "id": 1}).decode() for policy in chosen]
        return msgspec.structs.replace(endpoint, hello=(), own_hellos=tuple(hellos))

    @contextlib.contextmanager
    def control_plane(self, running: RunningSystem, _directory: Path) -> Iterator[ControlPlane]:
        assert isinstance(running, _Engine)
        yield ControlPlane(running.ready.public, running.ready.admin)

    def sdk_client(self, running: RunningSystem, directory: Path, arguments: list[str]) -> Program:
        assert isinstance(running, _Engine)
        command = [sys.executable, str(_SDK_CLIENT), *arguments, running.ready.public, running.ready.stream, "bench"]
        return Program(command, directory=directory, name="sdk-client")


class FinStreamTls(StreamingSystem):
    """The same with TLS: the streams are encrypted, and the load client decrypts them."""

    name = "finstream-wss"
    work = "typed"
    note = f"{FinStream.note}; TLS 1.3, AES-128-GCM, and the load client decrypts on the load's core"

    def missing(self) -> str | None:
        return certificate_missing() or (None if _command() else "the finstream command is not installed: pip install -e .")

    def versions(self) -> dict[str, str]:
        return versions_of("finstream") | {"openssl": ssl.OPENSSL_VERSION}

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[_Engine]:
        cert, key = make_certificate(directory)
        with _engine(directory, ingestor, start="always", tls={"cert_file": str(cert), "key_file": str(key)}) as engine:
            yield engine


@contextlib.contextmanager
def control_plane_alone(directory: Path) -> Iterator[ControlPlane]:
    """An engine that streams nothing, for others to stand beside. Raises TrialFailed."""
    with _engine(directory, ["true"], start="on_demand") as engine:
        yield ControlPlane(engine.ready.public, engine.ready.admin, tuple(engine.pids))


@contextlib.contextmanager
def _engine(directory: Path, ingestor: list[str], *, start: str, tls: dict[str, str] | None = None) -> Iterator[_Engine]:
    command = _command()
    assert command is not None
    settings: dict[str, object] = {
        "mode": "simulation",
        **({"tls": tls} if tls else {}),
        "listen": {"public": "127.0.0.1:0", "stream": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "state": {"path": str(directory / "state.db")},
        "dead_letters": {"path": str(directory / "dead-letters.jsonl")},
        "limits": {"outbox_bytes": _OUTBOX_BYTES, "memory_soft_bytes": _MARKS_BYTES, "memory_hard_bytes": _MARKS_BYTES},
        "logs": {"level": "warning"},
        "assets": {
            "bench": {
                "command": ingestor,
                "kind": "pricing",
                "origin": "synthetic",
                "start": start,
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


def _command() -> str | None:
    """The command that belongs to this interpreter, not the one that happens to be first on the PATH."""
    return shutil.which(os.environ.get("FINSTREAM") or str(Path(sys.executable).parent / "finstream"))


SYSTEMS = (FinStream(), FinStreamTls())
