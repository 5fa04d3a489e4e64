"""Policies of subscriptions and classes of clients: what the pump is told of them, what is kept, and what comes back later."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.pump import Pump, Wanted
from finstream.services.bus import Bus
from finstream.services.client_classes import ClientClasses
from finstream.services.session import Session
from finstream.services.sessions import Sessions
from finstream.services.store import Store
from finstream.services.topic_requests import read_policy
from finstream.vocabulary.commands import SubscriptionRequest
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import Receipt
from finstream.vocabulary.policies import PLAIN, Policy
from finstream.vocabulary.settings import ClientClass, Limits

SKIP = Policy(policy="skip")
MERGE = Policy(policy="conflate", trades="conflate", max_rate=10)


class WatchedPump(Pump):
    """Remembers which subscriptions it was asked for: the asset's name, the symbol, the policy."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str | None, Policy]] = []
        self.priorities: dict[int, int] = {}
        self.greeted: list[tuple[bytes, int]] = []

    def take_up(self, outbox: int, words: bytes, topics: Iterable[Wanted] = (), *, priority: int = 0) -> bool:
        topics = list(topics)
        self.asked += [(self.asset_name(asset), symbol, policy) for asset, symbol, policy in topics]
        self.priorities[outbox] = priority
        self.greeted.append((words, priority))
        return super().take_up(outbox, words, topics, priority=priority)

    def set_priority(self, outbox: int, priority: int) -> None:
        self.priorities[outbox] = priority
        super().set_priority(outbox, priority)

    def fetch(self) -> list[tuple[str, str | None, Policy]]:
        asked, self.asked = self.asked, []
        return asked


class NoDemand:
    def want(self, asset: str) -> None: ...

    def unwant(self, asset: str) -> None: ...


class Life:
    """One life of an engine, as far as clients know."""

    def __init__(
        self, sessions: Sessions, store: Store, pump: WatchedPump, pairs: Any, classes: ClientClasses, evicted: list[str]
    ) -> None:
        self.sessions = sessions
        self.classes = classes
        self.evicted = evicted
        self.store = store
        self.pump = pump
        self._pairs = pairs

    def connect(self, uuid: str) -> int:
        ours, _theirs = self._pairs()
        outbox = self.pump.add_outbox(ours.fileno(), lambda _closed: None)
        self.sessions.connect(uuid, outbox, "peer", lambda _reason: None)
        return outbox


Engine = Callable[[], AbstractAsyncContextManager[Life]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def engine(path: Path, bus: Bus, logger: Any, socket_pairs: Any) -> Engine:
    @asynccontextmanager
    async def live() -> AsyncIterator[Life]:
        pump = WatchedPump()
        pump.add_asset("binance")
        store = Store(path, logger=logger, most_clients=10)
        classes = ClientClasses({"gold": ClientClass(priority=9)})
        evicted: list[str] = []
        sessions = Sessions(
            pump=pump, demand=NoDemand(), bus=bus, store=store, logger=logger, limits=Limits(), reconnect_window_s=60,
            known_assets=lambda: {"binance", "late"}, classes=classes,
            evicted=lambda uuid, freed_bytes: evicted.append(f"{uuid} {freed_bytes}"),
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            await nursery.start(sessions.run)
            yield Life(sessions, store, pump, socket_pairs, classes, evicted)
            nursery.cancel_scope.cancel()

    return live


async def test_the_policy_of_a_request_holds_for_all_its_topics(engine: Engine) -> None:
    async with engine() as life:
        uuid = life.sessions.register().uuid
        life.connect(uuid)
        life.sessions.subscribe(uuid, ["binance", "binance:BTC/USDT"], policy=SKIP)
        assert life.pump.fetch() == [("binance", None, SKIP), ("binance", "BTC/USDT", SKIP)]
        life.sessions.subscribe(uuid, ["binance:ETH/USDT"])
        assert life.pump.fetch() == [("binance", "ETH/USDT", PLAIN)]
        view = msgspec.to_builtins(life.sessions.describe(uuid))
        assert view["topics"] == ["binance", "binance:BTC/USDT", "binance:ETH/USDT"]
        assert view["policies"] == {"binance": {"policy": "skip"}, "binance:BTC/USDT": {"policy": "skip"}}


async def test_subscribing_again_replaces_the_policy_and_the_same_one_does_nothing(engine: Engine) -> None:
    async with engine() as life:
        uuid = life.sessions.register().uuid
        life.connect(uuid)
        life.sessions.subscribe(uuid, ["binance"], policy=SKIP)
        life.pump.fetch()
        assert life.sessions.subscribe(uuid, ["binance"], policy=SKIP) == []
        assert life.pump.fetch() == [], "nothing to tell"
        assert life.sessions.subscribe(uuid, ["binance", "binance:X"], policy=MERGE) != []
        assert life.pump.fetch() == [("binance", None, MERGE), ("binance", "X", MERGE)]
        added, removed = life.sessions.replace(uuid, ["binance"], policy=SKIP)
        assert (added, [str(topic) for topic in removed]) == ([], ["binance:X"])
        assert life.pump.fetch() == [("binance", None, SKIP)]
        life.sessions.replace(uuid, ["binance"])
        assert life.pump.fetch() == [("binance", None, PLAIN)], "no choices are the plain ones"
        assert life.sessions.get(uuid).policy_names() == {}


async def test_unsubscribing_forgets_the_policy(engine: Engine) -> None:
    async with engine() as life:
        uuid = life.sessions.register().uuid
        life.connect(uuid)
        life.sessions.subscribe(uuid, ["binance"], policy=SKIP)
        life.sessions.unsubscribe(uuid, ["binance"])
        assert life.sessions.get(uuid).policy_names() == {}
        life.pump.fetch()
        life.sessions.subscribe(uuid, ["binance"])
        assert life.pump.fetch() == [("binance", None, PLAIN)]


async def test_a_refused_request_changes_no_policy(engine: Engine) -> None:
    async with engine() as life:
        uuid = life.sessions.register().uuid
        life.sessions.subscribe(uuid, ["binance"])
        with pytest.raises(RequestError):
            life.sessions.subscribe(uuid, ["binance", "nowhere"], policy=SKIP)
        assert life.sessions.get(uuid).policy_names() == {}


async def test_an_asset_that_comes_later_gets_the_policy_chosen_last(engine: Engine) -> None:
    async with engine() as life:
        uuid = life.sessions.register().uuid
        life.connect(uuid)
        life.sessions.subscribe(uuid, ["late"], policy=SKIP)
        life.sessions.subscribe(uuid, ["late"], policy=MERGE)
        assert life.pump.fetch() == []
        life.pump.add_asset("late")
        life.sessions.refresh_assets()
        assert life.pump.fetch() == [("late", None, MERGE)]
        life.sessions.refresh_assets()
        assert life.pump.fetch() == []


async def test_policies_survive_a_reconnect_and_a_restart(engine: Engine) -> None:
    async with engine() as life:
        uuid = life.sessions.register().uuid
        life.sessions.subscribe(uuid, ["binance"], policy=MERGE)
        life.sessions.subscribe(uuid, ["binance:X"])
        wanted = [("binance", None, MERGE), ("binance", "X", PLAIN)]
        outbox = life.connect(uuid)
        assert life.pump.fetch() == wanted
        life.sessions.disconnect(uuid, outbox, Receipt(reason="client_left", detail="", at=0))
        life.connect(uuid)
        assert life.pump.fetch() == wanted
    async with engine() as life:
        assert life.sessions.get(uuid).policy_names() == {"binance": MERGE}
        life.connect(uuid)
        assert life.pump.fetch() == wanted
        life.sessions.subscribe(uuid, ["binance"])
    async with engine() as life:
        assert life.sessions.get(uuid).policy_names() == {}


async def test_a_file_from_before_there_were_policies_is_taken_over(engine: Engine, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript("""
            CREATE TABLE clients (
                uuid TEXT PRIMARY KEY,
                registered_at INTEGER NOT NULL,
                topics TEXT NOT NULL,
                expires_at INTEGER
            ) STRICT, WITHOUT ROWID;
            INSERT INTO clients VALUES ('old', 1, '["binance"]', NULL);
            PRAGMA user_version = 1;
        """)
    connection.close()
    async with engine() as life:
        life.connect("old")
        assert life.pump.fetch() == [("binance", None, PLAIN)]
        life.sessions.subscribe("old", ["binance"], policy=SKIP)
    async with engine() as life:
        assert life.sessions.get("old").policy_names() == {"binance": SKIP}


async def test_the_class_of_a_client_says_how_important_its_connections_are(engine: Engine) -> None:
    async with engine() as life:
        gold, other = life.sessions.register("gold").uuid, life.sessions.register().uuid
        outboxes = life.connect(gold), life.connect(other)
        assert life.pump.priorities == {outboxes[0]: 9, outboxes[1]: 5}
        assert msgspec.to_builtins(life.sessions.describe(gold))["class"] == "gold"
        life.classes.apply({"gold": ClientClass(priority=7), "standard": ClientClass(priority=0)})
        life.sessions.refresh_priorities()
        assert life.pump.priorities == {outboxes[0]: 7, outboxes[1]: 0}, "those that are connected, too"
        with pytest.raises(RequestError, match="there is no class 'silver'"):
            life.sessions.register("silver")
    async with engine() as life:
        assert life.pump.priorities == {}
        outbox = life.connect(gold)
        assert life.pump.priorities == {outbox: 9}, "it outlives the engine"


async def test_a_connection_is_important_before_anything_is_said_to_it(engine: Engine, socket_pairs: Any) -> None:
    async with engine() as life:
        outbox = life.pump.add_outbox(socket_pairs()[0].fileno(), lambda _closed: None)
        found: list[dict[int, int]] = []

        def greeting(_session: Session) -> bytes:
            found.append(life.pump.priorities.copy())
            return b"welcome"

        uuid = life.sessions.register("gold").uuid
        life.sessions.connect(uuid, outbox, "peer", lambda _reason: None, greeting=greeting)
        assert (found, life.pump.greeted) == ([{}], [(b"welcome", 9)]), "in one step"


async def test_only_connections_that_ended_for_want_of_memory_are_told_on(engine: Engine) -> None:
    async with engine() as life:
        for reason in ("slow_consumer_bytes", "memory_pressure", "client_left"):
            uuid = life.sessions.register().uuid
            receipt = Receipt(reason=reason, detail="", at=0, queued_bytes=77)
            life.sessions.disconnect(uuid, life.connect(uuid), receipt)
            if reason == "memory_pressure":
                expected = [f"{uuid} 77"]
        assert life.evicted == expected


def test_trades_are_merged_only_where_quotes_are() -> None:
    with pytest.raises(RequestError) as refused:
        read_policy(SubscriptionRequest(topics=[], policy="skip", trades="conflate"))
    assert (refused.value.problem, refused.value.field) == ("invalid-field", "$.trades")
    assert '"policy":"conflate"' in refused.value.detail
    assert read_policy(SubscriptionRequest(topics=[], policy="skip", trades="keep")) == SKIP, "what is the default may be said"
    assert read_policy(SubscriptionRequest(topics=[], policy="conflate", trades="conflate", max_rate=10)) == MERGE
