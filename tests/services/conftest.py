"""What the tests of the services share. The rig beside this file is a plain module."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from finstream.pump import Pump
from finstream.services.bus import Bus
from finstream.vocabulary.events import Event

sys.path.insert(0, str(Path(__file__).parent))

from sessions_rig import Feed, World


@pytest.fixture
def log_entries() -> list[dict[str, Any]]:
    """What has been logged through ``logger``, oldest first."""
    return []


@pytest.fixture
def logger(log_entries: list[dict[str, Any]]) -> Any:
    capture = structlog.testing.LogCapture()
    capture.entries = log_entries
    everything = structlog.make_filtering_bound_logger("debug")
    return structlog.wrap_logger(None, processors=[capture], wrapper_class=everything)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def events(bus: Bus) -> Iterator[Callable[[], list[Event]]]:
    """Everything published since the last call."""
    with bus.subscribe("test", capacity=10_000) as channel:

        def fetch() -> list[Event]:
            found = []
            while True:
                try:
                    found.append(channel.receive_nowait())
                except trio.WouldBlock:
                    return found

        yield fetch


@pytest.fixture
def eventually() -> Callable[..., Awaitable[Any]]:
    """Poll until the condition gives something true, and return it. For the edge of the system, where nothing rings."""

    async def poll(condition: Callable[[], Any], *, within_s: float = 10) -> Any:
        with trio.fail_after(within_s):
            while not (found := condition()):  # noqa: ASYNC110
                await trio.sleep(0.005)
        return found

    return poll


@pytest.fixture
async def pump(nursery: trio.Nursery) -> AsyncIterator[Pump]:
    """A pump at work."""
    pump = Pump()
    await nursery.start(pump.run)
    yield pump
    pump.stop()


@pytest.fixture
def socket_pairs() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    """Makes connected pairs of stream sockets, closed at the end of the test."""
    made: list[socket.socket] = []

    def make() -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        made.extend(pair)
        return pair

    yield make
    for end in made:
        end.close()


@pytest.fixture
def make_world(
    nursery: trio.Nursery, pump: Pump, bus: Bus, logger: Any, tmp_path: Path, socket_pairs: Any
) -> Callable[..., World]:
    def make(**settings: Any) -> World:
        return World(pump, bus, logger, tmp_path / "state.db", socket_pairs, **settings)

    return make


@pytest.fixture
async def world(make_world: Callable[..., World], nursery: trio.Nursery) -> World:
    """Sessions at work."""
    world = make_world()
    await nursery.start(world.store.run)
    await nursery.start(world.sessions.run)
    return world


@pytest.fixture
async def feeds(pump: Pump) -> AsyncIterator[tuple[Feed, Feed]]:
    made = (Feed(pump, "binance"), Feed(pump, "kraken"))
    yield made
    for feed in made:
        feed.end()
