"""A stream server with everything real around it but the ingestors: pump, sessions, bus, store. The clients beside this file are a
plain module."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from finstream.children.demand import Demand
from finstream.pump import Pump
from finstream.servers.listeners import address_of, open_listener
from finstream.servers.origins import Origins
from finstream.servers.stream import StreamServer
from finstream.servers.surroundings import Surroundings
from finstream.services.bus import Bus
from finstream.services.sessions import Sessions
from finstream.services.store import Store
from finstream.vocabulary.settings import Limits

sys.path.insert(0, str(Path(__file__).parent))


class Stream:
    """A running stream server. ``assets`` are known, nothing feeds them but :meth:`publish`."""

    def __init__(self, pump: Pump, sessions: Sessions, bus: Bus, server: StreamServer, port: int) -> None:
        self.pump = pump
        self.sessions = sessions
        self.bus = bus
        self.server = server
        self.port = port
        self.demand: Demand

    def register(self) -> str:
        return self.sessions.register().uuid

    def url(self, uuid: str) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream?client={uuid}"

    async def connect_raw(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


OpenStream = Callable[..., Any]
Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture(scope="session")
def until() -> Until:
    """Wait for something that nobody tells of."""

    async def wait(condition: Callable[[], object]) -> None:
        with trio.fail_after(20):
            while not condition():  # noqa: ASYNC110
                await trio.sleep(0.002)

    return wait


@pytest.fixture
def open_stream(tmp_path: Path) -> OpenStream:
    @asynccontextmanager
    async def opened(
        *,
        assets: tuple[str, ...] = ("alpha", "beta"),
        origins: tuple[str, ...] = (),
        limits: Limits | None = None,
        simulated: bool = False,
        states: dict[str, bytes] | None = None,
        surroundings: dict[str, Any] | None = None,
        **server_options: Any,
    ) -> AsyncIterator[Stream]:
        limits = limits or Limits()
        pump = Pump(simulated=simulated)
        for asset in assets:
            pump.add_asset(asset)
        logger, bus = structlog.get_logger(), Bus()
        demand = Demand(lambda _asset, _newly: None)
        store = Store(tmp_path / "state.db", logger=logger, most_clients=limits.clients)
        sessions = Sessions(
            pump=pump, demand=demand, bus=bus, store=store, logger=logger, limits=limits, reconnect_window_s=60,
            known_assets=lambda: assets,
        )  # fmt: skip
        listener = open_listener("stream", "127.0.0.1:0")
        around = Surroundings(
            pump=pump, sessions=sessions, origins=Origins(origins, [address_of(listener)]), limits=limits,
            logger=logger, epoch="epoch-1", simulated=simulated, wall_us=lambda: 1_700_000_000_000_000,
            asset_message=({} if states is None else states).get,
            **(surroundings or {}),
        )  # fmt: skip
        server = StreamServer(around, **server_options)
        port = address_of(listener)[1]
        async with trio.open_nursery() as services:
            await services.start(store.run)
            await services.start(sessions.run)
            async with trio.open_nursery() as pumping:
                await pumping.start(pump.run)
                async with trio.open_nursery() as serving:
                    await serving.start(partial(server.run, listener))
                    stream = Stream(pump, sessions, bus, server, port)
                    stream.demand = demand
                    yield stream
                    server.stop("engine_stopping")
                pump.stop()
            services.cancel_scope.cancel()

    return opened


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines
