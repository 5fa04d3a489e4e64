"""Systems that are no part of this project, described by a TOML file: ``python -m bench --external FILE``."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bench.load_client import Endpoint
from bench.processes import Program, TrialFailed
from bench.systems.base import ParsingSystem, System, free_port, wait_for_port
from bench.systems.fed import FedSystem, Server

__all__ = ["Description", "Parsing", "load_external"]

_UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}


class Parsing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that measures its own parsing: its last line of output is JSON with ``member``, in ns per tick."""

    command: list[str]
    """``{lines}`` stands for a file of ingestor lines, ``{repeat}`` for how often to go over it."""
    member: str = "ns_per_tick"
    shapes: tuple[str, ...] = ("typical",)


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[system]]`` of the file."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*$")]
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
    parse: Parsing | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    system: list[Description]


def load_external(file: Path) -> dict[str, System]:
    """By name. Raises ValueError: not such a file; says what is wrong with it."""
    try:
        described = msgspec.toml.decode(file.read_bytes(), type=_File)
    except (OSError, ValueError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise ValueError(f"{file}: {error}") from error
    systems: dict[str, System] = {}
    for description in described.system:
        if description.name in systems:
            raise ValueError(f"{file}: two systems are called {description.name!r}")
        systems[description.name] = _system(description)
    return systems


class _External(System):
    def __init__(self, about: Description) -> None:
        self.about = about
        self.name = about.name
        self.work = about.work
        self.note = about.note

    def missing(self) -> str | None:
        for command in (self.about.command, self.about.parse.command if self.about.parse else []):
            if command and shutil.which(command[0]) is None:
                return f"there is no {command[0]} (see the file given with --external)"
        return None

    def versions(self) -> dict[str, str]:
        return {"version": self.about.version} if self.about.version else {}


class _Streaming(_External, FedSystem):
    def __init__(self, about: Description) -> None:
        super().__init__(about)
        self.env = about.env

    def command(self, port: int) -> list[str]:
        return [word.replace("{port}", str(port)) for word in self.about.command]

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

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[Server]:
        if self.about.feed == "stdin":
            with super().running(directory, ingestor) as server:
                yield server
            return
        port = free_port()
        command = []
        for word in self.command(port):
            command += ingestor if word == "{ingestor}" else [word]
        program = Program(command, directory=directory, name=self.name, env=self.env)
        try:
            wait_for_port(port, program)
            yield Server(program, self.endpoint(port))
        finally:
            program.stop(grace_s=3.0)


class _Parsing(_External, ParsingSystem):
    def __init__(self, about: Description) -> None:
        super().__init__(about)
        assert about.parse is not None
        self._how = about.parse
        self.shapes = about.parse.shapes

    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            file = Path(directory) / "lines"
            file.write_bytes(lines)
            places = {"{lines}": str(file), "{repeat}": str(repeat)}
            command = [places.get(word, word) for word in self._how.command]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TrialFailed(f"{self.name} ended with code {done.returncode}: {done.stderr.strip()[-300:]}")
        try:
            told = msgspec.json.decode(done.stdout.strip().rpartition("\n")[2], type=dict[str, float])
            each = told[self._how.member]
        except (msgspec.MsgspecError, KeyError) as error:
            raise TrialFailed(f"{self.name}: no {self._how.member} in the last line of its output") from error
        ticks = repeat * lines.count(b"\n")  # what it accepted is its own affair: it tells only the time
        return round(each * ticks), ticks


class _Both(_Parsing, _Streaming):
    pass


def _system(about: Description) -> System:
    if not about.command and about.parse is None:
        raise ValueError(f"{about.name}: neither `command` nor `parse`, so there is nothing to measure")
    if about.parse is None:
        return _Streaming(about)
    return _Both(about) if about.command else _Parsing(about)
