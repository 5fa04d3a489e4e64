"""What an adapter offers. One class may be both: :class:`ParsingSystem` and :class:`StreamingSystem`."""

from __future__ import annotations

import abc
import importlib.metadata
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from bench.load_client import Endpoint
from bench.processes import Program, TrialFailed

__all__ = [
    "ArenaSystem",
    "ControlPlane",
    "ControlledSystem",
    "OnDemandSystem",
    "ParsingSystem",
    "PolicySystem",
    "RunningSystem",
    "SdkSystem",
    "StreamingSystem",
    "SymbolSystem",
    "System",
    "free_port",
    "versions_of",
    "wait_for_port",
]


class System(abc.ABC):
    name: str
    """As on the command line and in the tables."""
    work: Literal["typed", "relay"]
    """``typed``: every tick is parsed to exact decimals, checked, its lag taken, and written anew. ``relay``: passed
    on unread. Compare like with like."""
    note: str = ""
    """What a reader of the figures must know; goes under the tables."""

    @abc.abstractmethod
    def missing(self) -> str | None:
        """Why it cannot run here and what to do about it; None when it can."""

    @abc.abstractmethod
    def versions(self) -> dict[str, str]:
        """Of the programs and libraries that do its work."""


class ParsingSystem(System):
    """Turns ingestor lines into messages, in one thread and without a server."""

    shapes: tuple[str, ...] = ("short", "typical", "long", "hostile")
    """Which lines it can read, by their name in :mod:`bench.lines`."""

    @abc.abstractmethod
    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        """Parse, validate, normalise, take the lag, rank and encode ``lines`` (ended by line feeds), ``repeat`` times.

        Returns the CPU time of this (ns), and how many ticks were accepted. What is no part of it is not in the time.
        """


class RunningSystem(Protocol):
    """A started system. ``pids``: its processes; their descendants count too."""

    @property
    def pids(self) -> list[int]: ...

    def endpoint(self, subscribers: int, /) -> Endpoint:
        """Where that many subscribers may connect now. Raises TrialFailed."""


class StreamingSystem(System):
    """Reads lines from an ingestor and sends each to all WebSocket subscribers."""

    @abc.abstractmethod
    def running(self, directory: Path, ingestor: list[str]) -> AbstractContextManager[RunningSystem]:
        """Start it, fed by the standard output of the command ``ingestor``, with all its files in ``directory``.

        It is ready to accept subscribers when the context is entered, and has ended when it is left. Raises
        TrialFailed.
        """


class SymbolSystem(StreamingSystem):
    """Its subscribers may choose symbols."""

    @abc.abstractmethod
    def selective(self, endpoint: Endpoint, subscribers: int, symbols: int, each: int) -> Endpoint:
        """The endpoint with each subscriber asking for ``each`` of the symbols S0/USD, S1/USD, …: subscriber i for those
        from the (i × each)-th on, beginning anew after the last of ``symbols``."""


class PolicySystem(StreamingSystem):
    """A subscriber may choose what happens to it when it is slow, and how much it gets."""

    @abc.abstractmethod
    def with_policies(self, endpoint: Endpoint) -> Endpoint:
        """For two subscribers: the first one's ticks are merged when it is slow, the second one gets few of each symbol."""


class OnDemandSystem(StreamingSystem):
    """It starts the ingestor when the first subscriber comes."""

    @abc.abstractmethod
    def waiting(self, directory: Path, ingestor: list[str]) -> AbstractContextManager[RunningSystem]:
        """As :meth:`running`, with an ingestor that is not started yet."""


class ControlPlane(NamedTuple):
    """FinStream's REST, to be kept busy: the addresses, and the processes that answer besides those of the system."""

    public: str
    admin: str
    pids: tuple[int, ...] = ()


class ControlledSystem(StreamingSystem):
    """It has a control plane that can be kept busy, or stands beside one."""

    @abc.abstractmethod
    def control_plane(self, running: RunningSystem, directory: Path) -> AbstractContextManager[ControlPlane]:
        """That of the running system, or another one that is there while the context is open. Raises TrialFailed."""


class SdkSystem(StreamingSystem):
    """It has a library for its subscribers."""

    @abc.abstractmethod
    def sdk_client(self, running: RunningSystem, directory: Path, arguments: list[str]) -> Program:
        """Start peers/sdk_client.py with these arguments, subscribed to everything."""


class ArenaSystem(ParsingSystem):
    """It can parse with many assets in the arena."""

    @abc.abstractmethod
    def parse_among(self, lines: bytes, repeat: int, assets: int) -> tuple[int, int]:
        """As :meth:`parse`, with so many assets that have ticks and are ranked."""

    @abc.abstractmethod
    def parse_among_missing(self) -> str | None:
        """Why this build cannot."""


def versions_of(*distributions: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in distributions}


def free_port() -> int:
    """A TCP port that was free a moment ago: for programs that cannot pick one and tell."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, program: Program, *, timeout_s: float = 15.0) -> None:
    """Wait until the program listens. Raises TrialFailed: it ended, or it does not."""
    deadline = time.monotonic() + timeout_s
    while True:
        program.check_alive()
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise TrialFailed(f"{program.name} did not listen within {timeout_s:g} s") from error
            time.sleep(0.02)
        else:
            return
