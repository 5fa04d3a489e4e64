"""Systems that are no part of this project, described by a TOML file: ``python -m bench --external FILE``."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import msgspec

from bench.load_client import Endpoint
from bench.processes import Program, TrialFailed
from bench.systems.base import ParsingSystem, RunningSystem, StreamingSystem, System, free_port, wait_for_port
from bench.systems.fed import FedSystem, Server

__all__ = ["Description", "load_external"]

_UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
_NAMES = r"^[a-z0-9][a-z0-9-]*$"


class _Parsing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that measures its own parsing: its last line of output is JSON with ``member``, in ns per tick."""

    command: list[str]
    """``{lines}`` stands for a file of ingestor lines, ``{repeat}`` for how often to go over it."""
    member: str = "ns_per_tick"
    shapes: tuple[str, ...] = ("typical",)


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[system]]`` of the file."""

    name: msgspec.Meta and str
    work: Literal["typed", "relay"]
    command: list[str] = []
    """Of the server; ``{port}`` stands for where it is to listen. Empty: it takes no part in streaming."""
    feed: Literal["stdin", "spawn"] = "stdin"
    """``stdin``: it reads the producer's lines from its standard input. ``spawn``: it starts the producer, whose command
    stands in place of the word ``{ingestor}``."""
    path: str = "/"
    hello: list[str] = []
    """Text messages that each subscriber sends."""
    ready_text: str | None = None
    """A subscriber is ready once a message holds this."""
    index_member: str = "trade_id"
    stamp_member: str = "ts"
    stamp_unit: Literal["s", "ms", "us", "ns"] = "ns"
    env: dict[str, str] = {}
    note: str = ""
    version: str = ""
    parse: _Parsing | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    system: list[Description]


def load_external(file: Path) -> dict[str, System]:
    """By name. Raises ValueError: not such a file; says what is wrong with it."""
    try:
        described = msgspec.toml.decode(file.read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{file}: {error}") from error
    return {description.name: _system(description) for description in described.system}


class _External(System):
    def __init__(self, description: Description) -> None:
        self.about = description
        self.name = description.name
        self.work = description.work
        self.note = description.note

    def missing(self) -> str | None:
        for command in (self.about.command, self.about.parse.command if self.about.parse else []):
            if command and not Path(command[0]).exists():
                return f"{command[0]} does not exist (see the file given with --external)"
        return None

    def versions(self) -> dict[str, str]:
        return {"version": self.about.version} if self.about.version else {}

    def endpoint(self, port: int) -> Endpoint:
        about = self.about
        return Endpoint(
            port=port,
            paths=(about.path,),
            hello=tuple(about.hello),
            ready_text=about.ready_text,
            index_member=about.index_member,
            stamp_member=about.stamp_member,
            stamp_unit_ns=_UNITS_NS[about.stamp_unit],
        )


class _Streaming(_External, StreamingSystem):
    def running(self, directory: Path, ingestor: list[str]) -> AbstractContextManager[RunningSystem]:
        return self._spawning(directory, ingestor) if self.about.feed == "spawn" else _fed(self, directory, ingestor)

    @contextlib.contextmanager
    def _spawning(self, directory: Path, ingestor: list[str]):  # type: ignore[no-untyped-def]
        port = free_port()
        server = Program(self.command(port, ingestor), directory=directory, name=self.name, env=self.about.env)
        try:
            wait_for_port(port, server)
            yield Server(server, self.endpoint(port))
        finally:
            server.stop(grace_s=3.0)

    def command(self, port: int, ingestor: list[str]) -> list[str]:
        filled: list[str] = []
        for word in self.about.command:
            filled += ingestor if word == "{ingestor}" else [word.replace("{port}", str(port))]
        return filled


class _ParsingOnly(_External, ParsingSystem):
    @property
    def shapes(self) -> tuple[str, ...]: ...
