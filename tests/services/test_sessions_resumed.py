"""Clients across engines: after a clean stop, after SIGKILL, with and without a store."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.pump import Pump
from finstream.services.bus import Bus
from finstream.services.sessions import Sessions
from finstream.services.store import ClientRecord, Store
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import Receipt
from finstream.vocabulary.settings import Limits

SECOND = 1_000_000
START_US = 1_700_000_000 * SECOND


class NoDemand:
    def want(self, asset: str) -> None: ...

    def unwant(self, asset: str) -> None: ...


class Life:
    """One life of an engine, as far as clients know."""

    def __init__(self, sessions: Sessions, store: Store, pump: Pump, pairs: Any) -> None:
        self.sessions = sessions
        self.store = store
        self._pump = pump
        self._pairs = pairs

    def client(self, *topics: str) -> str:
        uuid = self.sessions.register().uuid
        self.sessions.subscribe(uuid, list(topics))
        return uuid

    def connect(self, uuid: str) -> int:
        ours, _theirs = self._pairs()
        outbox = self._pump.add_outbox(ours.fileno(), lambda _closed: None)
        self.sessions.connect(uuid, outbox, "peer", lambda _reason: None)
        return outbox

    def disconnect(self, uuid: str, outbox: int, reason: str) -> None:
        self.sessions.disconnect(uuid, outbox, Receipt(reason=reason, detail="", at=0))

    def seconds_left(self, uuid: str, now_us: int) -> float:
        expires_at = self.sessions.describe(uuid).expires_at
        assert expires_at is not None
        return (expires_at - now_us) / SECOND


Engine = Callable[..., AbstractAsyncContextManager[Life]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def engine(path: Path, bus: Bus, logger: Any, socket_pairs: Any) -> Engine:
    """An engine that starts at a given time on the wall clock, and ends with the context."""

    @asynccontextmanager
    async def live(now_us: int, *, path: Path = path, window_s: float = 120, clients: int = 100) -> AsyncIterator[Life]:
        pump = Pump()
        store = Store(path, logger=logger, most_clients=clients)
        sessions = Sessions(
            pump=pump,
            demand=NoDemand(),
            bus=bus,
            store=store,
            logger=logger,
            limits=Limits(clients=clients, topics_per_client=5),
            reconnect_window_s=window_s,
            known_assets=lambda: {"binance", "kraken"},
            clock=lambda: now_us,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            await nursery.start(sessions.run)
            yield Life(sessions, store, pump, socket_pairs)
            nursery.cancel_scope.cancel()

    return live


async def test_topics_outlive_a_restart(engine: Engine) -> None:
    async with engine(START_US) as life:
        uuid = life.client("binance", "kraken:BTC/USDT")
        life.sessions.unsubscribe(uuid, ["binance"])
        life.sessions.subscribe(uuid, ["binance:ETH/USDT"])
    async with engine(START_US + SECOND) as life:
        view = life.sessions.describe(uuid)
        assert view.state == "waiting"
        assert view.topics == ["kraken:BTC/USDT", "binance:ETH/USDT"]
        assert view.registered_at == START_US
        life.connect(uuid)


async def test_one_that_was_waiting_keeps_its_window(engine: Engine) -> None:
    async with engine(START_US) as life:
        uuid = life.client()
    async with engine(START_US + 50 * SECOND) as life:
        assert life.seconds_left(uuid, START_US + 50 * SECOND) == pytest.approx(70)


async def test_one_whose_window_ended_meanwhile_is_forgotten_for_good(engine: Engine) -> None:
    async with engine(START_US) as life:
        uuid = life.client()
    for later in (121, 1):  # the second engine's clock does not bring it back
        async with engine(START_US + later * SECOND) as life:
            with pytest.raises(RequestError):
                life.sessions.get(uuid)


@pytest.mark.parametrize("reason", ["engine_stopping", "engine_restarting"])
async def test_one_that_was_connected_when_the_engine_stopped_has_a_full_window(engine: Engine, reason: str) -> None:
    async with engine(START_US) as life:
        uuid = life.client("binance")
        life.disconnect(uuid, life.connect(uuid), reason)
    much_later = START_US + 100_000 * SECOND
    async with engine(much_later) as life:
        assert life.seconds_left(uuid, much_later) == pytest.approx(120)
        assert life.sessions.describe(uuid).topics == ["binance"]


async def test_one_that_had_left_before_the_engine_stopped_has_the_rest_of_its_window(engine: Engine) -> None:
    async with engine(START_US) as life:
        uuid = life.client("binance")
        life.disconnect(uuid, life.connect(uuid), "client_left")
    async with engine(START_US + 100 * SECOND) as life:
        assert life.seconds_left(uuid, START_US + 100 * SECOND) == pytest.approx(20)


async def test_a_clock_that_was_set_back_gives_nobody_more_than_a_window(engine: Engine) -> None:
    async with engine(START_US) as life:
        uuid = life.client()
    async with engine(START_US - 10_000 * SECOND) as life:
        assert life.seconds_left(uuid, START_US - 10_000 * SECOND) == pytest.approx(120)


async def test_unregistered_is_unregistered(engine: Engine) -> None:
    async with engine(START_US) as life:
        uuid = life.client()
        await life.store.flushed()
        life.sessions.unregister(uuid, origin="test")
    async with engine(START_US) as life:
        with pytest.raises(RequestError):
            life.sessions.get(uuid)


async def test_a_smaller_limit_after_a_restart_holds(engine: Engine) -> None:
    async with engine(START_US) as life:
        for _ in range(5):
            life.client()
    async with engine(START_US, clients=3) as life:
        with pytest.raises(RequestError, match=r"limits\.clients"):
            life.sessions.register()


async def test_topics_that_make_no_sense_any_more_are_left_out(engine: Engine, path: Path, logger: Any) -> None:
    store = Store(path, logger=logger, most_clients=10)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        store.save(ClientRecord("known", START_US, ["best of?BTC", "gone:X", "binance"], None))
        nursery.cancel_scope.cancel()
    async with engine(START_US) as life:
        assert life.sessions.describe("known").topics == ["gone:X", "binance"]
        life.connect("known")


async def test_without_a_usable_store_clients_live_as_long_as_the_engine(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with engine(START_US, path=tmp_path / "file" / "state.db") as life:
        uuid = life.client("binance")
        life.disconnect(uuid, life.connect(uuid), "client_left")
        life.connect(uuid)
        assert life.sessions.describe(uuid).state == "connected"


async def test_the_engines_death_by_sigkill(engine: Engine, path: Path) -> None:
    """A process of its own with a pump, sessions and a store; it is killed with one client connected, one waiting."""
    script = """
        import os, signal, socket, sys, trio, structlog
        from pathlib import Path
        from finstream.pump import Pump
        from finstream.services.bus import Bus
        from finstream.services.sessions import Sessions
        from finstream.services.store import Store
        from finstream.vocabulary.events import Receipt
        from finstream.vocabulary.settings import Limits

        class NoDemand:
            def want(self, asset): pass
            def unwant(self, asset): pass

        async def main():
            pump, store = Pump(), Store(Path(sys.argv[1]), logger=structlog.get_logger(), most_clients=10)
            now_us, logger = int(sys.argv[2]), structlog.wrap_logger(structlog.ReturnLogger())
            sessions = Sessions(
                pump=pump, demand=NoDemand(), bus=Bus(), store=store, logger=logger,
                limits=Limits(), reconnect_window_s=120, known_assets=lambda: {"binance"}, clock=lambda: now_us,
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                await nursery.start(sessions.run)
                await nursery.start(pump.run)
                ours, theirs = socket.socketpair()
                outbox = pump.add_outbox(ours.fileno(), lambda closed: None)
                uuids = [sessions.register().uuid for _ in range(3)]
                for uuid in uuids[:2]:
                    sessions.subscribe(uuid, ["binance:BTC/USDT", "binance"])
                    sessions.connect(uuid, outbox, "peer", lambda reason: None)
                sessions.disconnect(uuids[1], outbox, Receipt(reason="client_left", detail="", at=0))
                await store.flushed()
                print(*uuids, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        trio.run(main)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path), str(START_US)]
    died = await trio.run_process(command, capture_stdout=True, stderr=subprocess.DEVNULL, check=False)
    assert died.returncode == -signal.SIGKILL
    connected, left, never_connected = died.stdout.decode().split()
    restart_us = START_US + 100 * SECOND
    async with engine(restart_us) as life:
        assert life.seconds_left(connected, restart_us) == pytest.approx(120), "a full window from the restart"
        assert life.seconds_left(left, restart_us) == pytest.approx(20)
        assert life.seconds_left(never_connected, restart_us) == pytest.approx(20)
        for uuid in (connected, left):
            assert life.sessions.describe(uuid).topics == ["binance:BTC/USDT", "binance"]
        life.connect(connected)
        await life.store.flushed()
        view = msgspec.to_builtins(life.sessions.describe(connected))
        assert view["state"] == "connected"
        assert "last_receipt" not in view
