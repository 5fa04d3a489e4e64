"""The children's surroundings: a bus and a log that remember, a pump that runs, small programs as children."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import trio

from finstream.children.spawn import open_pipe
from finstream.children.supervisor import Supervisor
from finstream.pump import Framing, Pump
from finstream.vocabulary.events import AssetStateChanged, Event
from finstream.vocabulary.settings import Settings

WITHIN_S = 20.0


async def until(condition: Callable[[], Any], what: str = "", within_s: float = WITHIN_S) -> Any:
    """Poll something outside of us until it is true."""
    with trio.move_on_after(within_s):
        while not (value := condition()):  # noqa: ASYNC110  (processes outside of us tell us nothing)
            await trio.sleep(0.01)
        return value
    raise AssertionError(f"{what or condition} did not come true within {within_s} s")


def state_of(pid: int) -> str:
    """The kernel's letter for a process' state; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid: int) -> bool:
    return state_of(pid) not in {"", "Z", "X"}


class Bus:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = trio.lowlevel.ParkingLot()

    def publish(self, event: Event, /) -> None:
        self.events.append(event)
        self._news.unpark_all()

    def states(self, asset: str) -> list[str]:
        return [e.state for e in self.events if isinstance(e, AssetStateChanged) and e.asset == asset]

    async def state(self, asset: str, state: str, times: int = 1) -> AssetStateChanged:
        """Wait until an asset has entered a state for the n-th time."""
        with trio.move_on_after(WITHIN_S):
            while True:
                found = [
                    e for e in self.events if isinstance(e, AssetStateChanged) and e.asset == asset and e.state == state
                ]
                if len(found) >= times:
                    return found[times - 1]
                await self._news.park()
        raise AssertionError(f"{asset} was not {state} for {times} times: {self.states(asset)}")


class Log:
    """All records, as dicts."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def _keep(self, _logger: Any, level: str, fields: MutableMapping[str, Any]) -> Any:
        self.records.append(dict(fields) | {"level": level})
        raise structlog.DropEvent

    def logger(self) -> Any:
        return structlog.wrap_logger(None, processors=[self._keep], cache_logger_on_first_use=False)

    def find(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        return [r for r in self.records if event in r["event"] and fields.items() <= r.items()]

    async def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        found: list[dict[str, Any]] = await until(lambda: self.find(event, **fields), f"{event} {fields}")
        return found[0]


class WatchedWires:
    """Wires to nowhere that note what they are asked, and whether the child was still there."""

    def __init__(self) -> None:
        output, errors = open_pipe(), open_pipe()
        self._output = output.ours
        self.theirs = (subprocess.DEVNULL, output.theirs, errors.theirs)
        self.logs: Sequence[tuple[str, trio.lowlevel.FdStream]] = [("stderr", trio.lowlevel.FdStream(errors.ours))]
        self.steps: list[tuple[str, bool]] = []
        self.pid = 0
        self.stop: Callable[[str], None] = lambda _reason: None
        self.on_drain: Callable[[], None] = lambda: None

    def _note(self, step: str) -> None:
        self.steps.append((step, is_alive(self.pid)))

    def close_theirs(self) -> None:
        for end in self.theirs[1:]:
            os.close(end)

    def connect(self, stop: Callable[[str], None]) -> None:
        self._note("connect")
        self.stop = stop

    async def let_go(self) -> str:
        await trio.sleep_forever()
        return ""

    async def end_input(self, within_s: float) -> bool:
        self._note("end_input")
        return False

    async def drain(self) -> None:
        self._note("drain")
        self.on_drain()

    def release(self) -> None:
        self._note("release")
        os.close(self._output)


class Subscriber:
    """What a sink or a client is to the pump: a connected socket. Keeps all lines."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        ours, self._theirs = socket.socketpair()
        self.outbox = pump.add_outbox(ours.fileno(), lambda _closed: None, framing=Framing.LINES, max_bytes=64 << 20,
                                      max_age_ms=60_000)
        self._ours = ours
        self._rest = b""
        self.messages: list[dict[str, Any]] = []

    async def read(self) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(self._theirs))
        while data := await stream.receive_some(1 << 20):
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.messages += map(msgspec.json.decode, lines)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def close(self) -> None:
        self._pump.remove_outbox(self.outbox)
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def watched_wires() -> WatchedWires:
    return WatchedWires()


@pytest.fixture
def epoch() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
async def pump() -> AsyncIterator[Pump]:
    pump = Pump()
    async with trio.open_nursery() as nursery:
        await nursery.start(pump.run)
        yield pump
        nursery.cancel_scope.cancel()


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., list[str]]:
    """Makes a Python program of some lines; returns its command."""

    def make(source: str, *arguments: str) -> list[str]:
        path = tmp_path / f"{uuid.uuid4().hex}.py"
        path.write_text(textwrap.dedent(source))
        # -S -E and no -m: starts in a fraction of the time
        return [sys.executable, "-SE", str(path), *arguments]

    return make


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Makes settings of assets (and sinks) given as plain dicts, with short times."""

    def make(assets: dict[str, Any] | None = None, sinks: dict[str, Any] | None = None, **others: Any) -> Settings:
        quick: dict[str, Any] = {"stop_grace_s": 2.0}
        return msgspec.convert(
            {
                "assets": {name: quick | {"linger_s": 0.1} | asset for name, asset in (assets or {}).items()},
                "sinks": {name: quick | sink for name, sink in (sinks or {}).items()},
            }
            | others,
            Settings,
        )

    return make


@pytest.fixture
async def supervise(
    pump: Pump, bus: Bus, log: Log, epoch: str
) -> AsyncIterator[Callable[..., Awaitable[Supervisor]]]:
    """Starts a supervisor; at the end of the test it is stopped, and nothing of it may be left."""
    async with trio.open_nursery() as nursery:

        async def start(settings: Settings, **options: Any) -> Supervisor:
            supervisor = Supervisor(
                pump=pump, bus=bus, logger=log.logger(), epoch=epoch, mode=settings.mode,
                **{"jitter": lambda: 0.5, "orphan_grace_s": 0.5} | options,
            )
            await nursery.start(supervisor.run, settings)
            return supervisor

        yield start
        nursery.cancel_scope.cancel()
    assert descendants(epoch) == []


def descendants(epoch: str) -> list[int]:
    """The living processes of an engine, found without any help of the code under test."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and f"FINSTREAM_ENGINE={epoch}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return [pid for pid in found if is_alive(pid)]


@pytest.fixture
async def subscribe(pump: Pump) -> AsyncIterator[Callable[[str], Subscriber]]:
    """Subscribes to an asset that the pump knows."""
    subscribers: list[Subscriber] = []
    async with trio.open_nursery() as nursery:

        def start(asset: str) -> Subscriber:
            subscriber = Subscriber(pump)
            handle = pump.asset_handle(asset)
            assert handle is not None
            assert pump.subscribe(subscriber.outbox, handle)
            subscribers.append(subscriber)
            nursery.start_soon(subscriber.read)
            return subscriber

        yield start
        nursery.cancel_scope.cancel()
    for subscriber in subscribers:
        subscriber.close()


@pytest.fixture
def command_of() -> Callable[[int], Awaitable[list[str]]]:
    """The command line of a process; just after its start the kernel has none yet."""

    async def read(pid: int) -> list[str]:
        line: bytes = await until(Path(f"/proc/{pid}/cmdline").read_bytes)
        return line.decode().split("\0")[:-1]

    return read


@pytest.fixture
def wait_until() -> Iterator[Callable[..., Awaitable[Any]]]:
    return partial(until)  # type: ignore[return-value]


@pytest.fixture
def alive() -> Callable[[int], bool]:
    return is_alive
