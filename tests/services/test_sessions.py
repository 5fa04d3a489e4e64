"""Clients against the real pump: what they subscribe reaches them, and nothing before its answer."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.pump import Framing, Pump
from finstream.services.bus import Bus
from finstream.services.session import Session
from finstream.services.sessions import Sessions
from finstream.services.store import Store
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import (
    ClientConnected,
    ClientDisconnected,
    ClientRegistered,
    ClientUnregistered,
    Event,
    Receipt,
)
from finstream.vocabulary.settings import Limits
from finstream.vocabulary.topics import Topic

NOW_US = 1_700_000_000_000_000


class Demand:
    """Counts like the supervisor's, and remembers every call."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.calls: list[str] = []

    def want(self, asset: str) -> None:
        self.counts[asset] += 1
        self.calls.append(f"+{asset}")

    def unwant(self, asset: str) -> None:
        assert self.counts[asset] > 0, "nobody wants it"
        self.counts[asset] -= 1
        self.calls.append(f"-{asset}")

    def wanted(self) -> dict[str, int]:
        return {asset: count for asset, count in self.counts.items() if count}


class Subscriber:
    """The two ends of a connection: an outbox of the pump's, and the socket that its client reads."""

    def __init__(self, pump: Pump, ours: socket.socket, theirs: socket.socket) -> None:
        self.pump = pump
        self.outbox = pump.add_outbox(ours.fileno(), lambda _closed: None, framing=Framing.LINES)
        self.told: list[str] = []
        self._theirs = trio.socket.from_stdlib_socket(theirs)
        self._rest = b""
        self._lines: list[bytes] = []

    def say(self, text: str) -> None:
        """What the server pushes: an answer."""
        assert self.pump.push(self.outbox, text.encode() + b"\n")

    def close(self, reason: str) -> None:
        self.told.append(reason)
        self.say(f"goodbye {reason}")

    async def next(self) -> str:
        """The next tick as ``asset:symbol``, or what was said."""
        with trio.fail_after(5):
            while not self._lines:
                *self._lines, self._rest = (self._rest + await self._theirs.recv(65_536)).split(b"\n")
        line = self._lines.pop(0)
        if not line.startswith(b"{"):
            return line.decode()
        message = msgspec.json.decode(line)
        return f"{message['asset']}:{message['symbol']}"


class Feed:
    """An ingestor's pipe."""

    def __init__(self, pump: Pump, name: str) -> None:
        self.asset = pump.add_asset(name)
        self._reading, self._writing = os.pipe()
        self.pump = pump
        self.source = pump.add_source(self.asset, self._reading, lambda _event: None)

    def tick(self, symbol: str = "BTC/USDT") -> None:
        os.write(self._writing, b'{"symbol":"%s","price":"1","ts":1700000000}\n' % symbol.encode())

    def tick_through(self, symbol: str) -> None:
        """Returns once the pump has published it. Blocks on purpose: nothing else of Trio's runs in between."""
        before = self.pump.asset_statistics(self.asset).ticks
        self.tick(symbol)
        deadline = time.monotonic() + 5
        while self.pump.asset_statistics(self.asset).ticks == before:
            assert time.monotonic() < deadline
            time.sleep(0.0005)

    def end(self) -> None:
        self.pump.remove_source(self.source)
        os.close(self._reading)
        os.close(self._writing)


class World:
    """Sessions with everything around them real, but for the supervisor."""

    def __init__(self, pump: Pump, bus: Bus, logger: Any, path: Path, pairs: Any, **settings: Any) -> None:
        self.pump = pump
        self.assets = {"binance", "kraken"}
        self.demand = Demand()
        self.now_us = NOW_US
        limits = Limits(clients=settings.pop("clients", 100), topics_per_client=settings.pop("topics", 10))
        self.store = Store(path, logger=logger, most_clients=limits.clients)
        self.sessions = Sessions(
            pump=pump,
            demand=self.demand,
            bus=bus,
            store=self.store,
            logger=logger,
            limits=limits,
            known_assets=lambda: self.assets,
            clock=lambda: self.now_us,
            **({"reconnect_window_s": 120.0} | settings),
        )
        self._pairs = pairs

    def subscriber(self) -> Subscriber:
        return Subscriber(self.pump, *self._pairs())

    def connected(self, *topics: str) -> tuple[str, Subscriber]:
        """A client with these topics and an open connection."""
        uuid = self.sessions.register().uuid
        self.sessions.subscribe(uuid, list(topics))
        subscriber = self.subscriber()
        self.sessions.connect(uuid, subscriber.outbox, "peer", subscriber.close)
        return uuid, subscriber

    def receipt(self, reason: str = "connection_lost") -> Receipt:
        return Receipt(reason=reason, detail="for the test", at=self.now_us, queued_messages=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def make_world(
    nursery: trio.Nursery, pump: Pump, bus: Bus, logger: Any, path: Path, socket_pairs: Any
) -> Callable[..., World]:
    def make(**settings: Any) -> World:
        return World(pump, bus, logger, path, socket_pairs, **settings)

    return make


@pytest.fixture
async def world(make_world: Callable[..., World], nursery: trio.Nursery) -> World:
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


def refused(problem: str, field: str | None = None) -> Any:
    return pytest.raises(RequestError, check=lambda error: (error.problem, error.field) == (problem, field))


# --- registration -------------------------------------------------------------------------------------------------


async def test_a_registered_client_waits_for_its_window(world: World, events: Callable[[], list[Event]]) -> None:
    session = world.sessions.register()
    assert len(session.uuid) == 36
    view = world.sessions.describe(session.uuid)
    assert msgspec.to_builtins(view) == {
        "uuid": session.uuid, "state": "waiting", "registered_at": NOW_US, "class": "standard", "topics": [],
        "expires_at": NOW_US + 120_000_000,
    }  # fmt: skip
    assert events() == [ClientRegistered(client=session.uuid)]


async def test_nobody_is_known_before_registering_and_after_unregistering(
    world: World, events: Callable[[], list[Event]]
) -> None:
    sessions = world.sessions
    uuid = sessions.register().uuid
    sessions.unregister(uuid, origin="test")
    assert events()[-1] == ClientUnregistered(client=uuid, reason="requested")
    subscriber = world.subscriber()
    for name in (uuid, "", "no-such-client"):
        for call in (
            lambda name=name: sessions.get(name),
            lambda name=name: sessions.describe(name),
            lambda name=name: sessions.unregister(name, origin="test"),
            lambda name=name: sessions.subscribe(name, ["binance"]),
            lambda name=name: sessions.unsubscribe(name, ["binance"]),
            lambda name=name: sessions.replace(name, ["binance"]),
            lambda name=name: sessions.connect(name, subscriber.outbox, "peer", subscriber.close),
        ):
            with refused("unknown-client"):
                call()


async def test_no_more_clients_than_the_limit(make_world: Callable[..., World]) -> None:
    sessions = make_world(clients=2).sessions
    first = sessions.register()
    sessions.register()
    with refused("too-many-clients"):
        sessions.register()
    sessions.unregister(first.uuid, origin="test")
    sessions.register()


async def test_a_window_that_is_over_forgets_the_client(
    make_world: Callable[..., World], nursery: trio.Nursery, events: Callable[[], list[Event]], eventually: Any
) -> None:
    world = make_world(reconnect_window_s=0.15)
    await nursery.start(world.store.run)
    await nursery.start(world.sessions.run)
    connected, _subscriber = world.connected("binance")
    waiting = world.sessions.register().uuid
    await eventually(lambda: ClientUnregistered(client=waiting, reason="window_over") in events())
    with refused("unknown-client"):
        world.sessions.get(waiting)
    assert world.sessions.describe(connected).state == "connected", "windows do not run while connected"
    world.sessions.disconnect(connected, world.sessions.get(connected).connection.outbox, world.receipt())  # type: ignore[union-attr]
    await eventually(lambda: ClientUnregistered(client=connected, reason="window_over") in events())
    await world.store.flushed()


# --- subscriptions ------------------------------------------------------------------------------------------------


async def test_what_is_subscribed_while_waiting_flows_once_connected(world: World, feeds: tuple[Feed, Feed]) -> None:
    uuid, subscriber = world.connected("binance:BTC/USDT", "kraken")
    binance, kraken = feeds
    binance.tick("ETH/USDT")
    binance.tick("BTC/USDT")
    assert await subscriber.next() == "binance:BTC/USDT"
    kraken.tick("ETH/USDT")
    assert await subscriber.next() == "kraken:ETH/USDT"
    assert world.sessions.describe(uuid).topics == ["binance:BTC/USDT", "kraken"]


async def test_topics_are_added_removed_and_replaced_while_connected(
    world: World, feeds: tuple[Feed, Feed], eventually: Any
) -> None:
    binance, kraken = feeds
    uuid, subscriber = world.connected("binance")
    sessions = world.sessions
    assert sessions.subscribe(uuid, ["kraken"]) == [Topic("kraken", None)]
    kraken.tick()
    assert await subscriber.next() == "kraken:BTC/USDT"
    assert sessions.unsubscribe(uuid, ["binance", "binance:never/had"]) == [Topic("binance", None)]
    binance.tick()
    await eventually(lambda: world.pump.asset_statistics(binance.asset).ticks == 1)
    kraken.tick()
    assert await subscriber.next() == "kraken:BTC/USDT", "and nothing of binance before it"
    added, removed = sessions.replace(uuid, ["binance:ETH/USDT", "binance"])
    assert added == [Topic("binance", "ETH/USDT"), Topic("binance", None)]
    assert removed == [Topic("kraken", None)]
    kraken.tick()
    await eventually(lambda: world.pump.asset_statistics(kraken.asset).ticks == 3)
    binance.tick("ETH/USDT")
    binance.tick("XRP/USDT")
    assert [await subscriber.next(), await subscriber.next()] == ["binance:ETH/USDT", "binance:XRP/USDT"], "each once"
    assert sessions.describe(uuid).topics == ["binance:ETH/USDT", "binance"]


async def test_subscribing_twice_is_no_error_and_changes_nothing(world: World, feeds: tuple[Feed, Feed]) -> None:
    uuid, subscriber = world.connected("binance")
    announced: list[list[Topic]] = []
    assert world.sessions.subscribe(uuid, ["binance", "binance"], announce=announced.append) == []
    assert announced == [[]], "the answer is due all the same"
    assert world.sessions.describe(uuid).topics == ["binance"]
    assert world.demand.calls == ["+binance"]
    feeds[0].tick("A")
    feeds[0].tick("B")
    assert [await subscriber.next(), await subscriber.next()] == ["binance:A", "binance:B"]


async def test_the_answer_comes_before_the_first_tick(world: World, feeds: tuple[Feed, Feed]) -> None:
    """A tick is published in the very moment of the answer: it belongs to the time before."""
    binance, _kraken = feeds
    uuid, subscriber = world.connected()

    def answer(*_topics: list[Topic]) -> None:
        binance.tick_through("too early")
        subscriber.say("answer")

    for add in (world.sessions.subscribe, world.sessions.replace):
        add(uuid, ["binance"], announce=answer)
        binance.tick("A")
        assert [await subscriber.next(), await subscriber.next()] == ["answer", "binance:A"]
        world.sessions.unsubscribe(uuid, ["binance"])


async def test_the_welcome_comes_before_the_first_tick(world: World, feeds: tuple[Feed, Feed]) -> None:
    binance, _kraken = feeds
    uuid, first = world.connected("binance")
    second = world.subscriber()

    def welcome(session: Session) -> bytes:
        binance.tick_through("too early")
        return f"welcome to {session.topic_names()}\n".encode()

    world.sessions.connect(uuid, second.outbox, "peer", second.close, greeting=welcome)
    binance.tick("A")
    assert [await second.next(), await second.next()] == ["welcome to ['binance']", "binance:A"]
    assert await first.next() == "goodbye replaced"


async def test_the_state_of_each_newly_wanted_asset_is_told_between_the_answer_and_the_first_tick(
    world: World, feeds: tuple[Feed, Feed]
) -> None:
    binance, kraken = feeds
    uuid = world.sessions.register().uuid
    world.sessions.subscribe(uuid, ["binance", "binance:BTC/USDT"])
    subscriber = world.subscriber()

    def state_of(asset: str) -> bytes:
        {"binance": binance, "kraken": kraken}[asset].tick_through("too early")
        return f"{asset} is {'wanted' if asset in world.demand.wanted() else 'idle'}\n".encode()

    world.sessions.connect(
        uuid, subscriber.outbox, "peer", subscriber.close,
        greeting=lambda _session: b"welcome\n", state_of=state_of,
    )  # fmt: skip
    binance.tick("A")
    assert [await subscriber.next() for _ in range(3)] == ["welcome", "binance is idle", "binance:A"], "once an asset"
    topics = ["binance:ETH/USDT", "kraken:X", "kraken:Y"]
    world.sessions.subscribe(uuid, topics, announce=lambda _new: subscriber.say("subscribed"))
    kraken.tick("X")
    assert [await subscriber.next() for _ in range(3)] == ["subscribed", "kraken is idle", "kraken:X"], "only what is new"
    world.sessions.unsubscribe(uuid, ["kraken:X", "kraken:Y"])
    world.sessions.subscribe(uuid, ["kraken"])
    assert await subscriber.next() == "kraken is idle"


async def test_the_state_of_an_asset_that_becomes_known_later_is_told_then(
    world: World, feeds: tuple[Feed, Feed]
) -> None:
    world.assets.add("later")
    uuid = world.sessions.register().uuid
    world.sessions.subscribe(uuid, ["later:A", "later:B", "kraken"])
    subscriber, told = world.subscriber(), []

    def state_of(asset: str) -> bytes:
        told.append(asset)
        return b""

    world.sessions.connect(uuid, subscriber.outbox, "peer", subscriber.close, state_of=state_of)
    told.clear()
    world.sessions.refresh_assets()
    assert told == []
    world.pump.add_asset("later")
    world.sessions.refresh_assets()
    world.sessions.refresh_assets()
    assert told == ["later"]


async def test_the_answer_comes_after_the_last_tick(world: World, feeds: tuple[Feed, Feed]) -> None:
    binance, kraken = feeds
    uuid, subscriber = world.connected("binance", "kraken")
    binance.tick_through("last of binance")
    world.sessions.unsubscribe(uuid, ["binance"])
    binance.tick_through("too late")
    subscriber.say("unsubscribed")
    assert [await subscriber.next(), await subscriber.next()] == ["binance:last of binance", "unsubscribed"]

    def answer(_added: list[Topic], _removed: list[Topic]) -> None:
        kraken.tick_through("too late")
        subscriber.say("replaced")

    kraken.tick_through("last of kraken")
    world.sessions.replace(uuid, ["binance"], announce=answer)
    assert [await subscriber.next(), await subscriber.next()] == ["kraken:last of kraken", "replaced"]


@pytest.mark.parametrize("method", ["subscribe", "replace"])
@pytest.mark.parametrize(
    ("topics", "problem", "field"),
    [
        (["kraken", "nowhere"], "unknown-asset", "$.body[1]"),
        (["kraken", "Binance"], "invalid-topic", "$.body[1]"),
        (["binance:"], "invalid-topic", "$.body[0]"),
        (["kraken", 'binance:"'], "invalid-topic", "$.body[1]"),
        ([f"kraken:{number}" for number in range(11)], "too-many-topics", "$.body"),
    ],
)
async def test_a_request_is_carried_out_as_a_whole_or_not_at_all(
    world: World, method: str, topics: list[str], problem: str, field: str
) -> None:
    uuid, _subscriber = world.connected("binance")
    call = getattr(world.sessions, method)
    with refused(problem, field):
        call(uuid, topics, field="$.body", announce=lambda *_topics: pytest.fail("announced"))
    assert world.sessions.describe(uuid).topics == ["binance"]
    assert world.demand.calls == ["+binance"]


async def test_the_limit_of_topics_counts_what_would_be_there(world: World) -> None:
    uuid, _subscriber = world.connected(*(f"binance:{number}" for number in range(9)))
    world.sessions.subscribe(uuid, ["binance:0", "binance:1", "binance:9"])
    with refused("too-many-topics", "$.topics"):
        world.sessions.subscribe(uuid, ["binance:10"])
    assert world.sessions.replace(uuid, [f"kraken:{number}" for number in range(10)])[0] != []


async def test_an_invalid_topic_to_unsubscribe_is_refused_and_an_unknown_one_ignored(world: World) -> None:
    uuid, _subscriber = world.connected("binance")
    with refused("invalid-topic", "$.topics[1]"):
        world.sessions.unsubscribe(uuid, ["binance", "?"])
    assert world.sessions.unsubscribe(uuid, ["nowhere"]) == []
    assert world.sessions.describe(uuid).topics == ["binance"]


async def test_an_asset_that_leaves_and_comes_back(world: World, feeds: tuple[Feed, Feed]) -> None:
    uuid, subscriber = world.connected("binance")
    world.assets.remove("binance")
    world.pump.retire_asset(feeds[0].asset)
    world.sessions.replace(uuid, ["binance", "kraken"])
    assert world.sessions.describe(uuid).topics == ["binance", "kraken"], "what is there may stay"
    world.sessions.unsubscribe(uuid, ["binance"])
    with refused("unknown-asset", "$.topics[0]"):
        world.sessions.subscribe(uuid, ["binance"])
    world.assets.add("binance")
    world.pump.add_asset("binance")
    world.sessions.subscribe(uuid, ["binance"])
    feeds[0].tick()
    assert await subscriber.next() == "binance:BTC/USDT"


# --- demand -------------------------------------------------------------------------------------------------------


async def test_only_connected_clients_count_as_demand_once_for_each_asset(world: World) -> None:
    uuid = world.sessions.register().uuid
    world.sessions.subscribe(uuid, ["binance", "binance:BTC/USDT", "kraken"])
    assert world.demand.calls == []
    subscriber = world.subscriber()
    world.sessions.connect(uuid, subscriber.outbox, "peer", subscriber.close)
    assert world.demand.wanted() == {"binance": 1, "kraken": 1}
    other, _subscriber = world.connected("binance:ETH/USDT")
    assert world.demand.wanted() == {"binance": 2, "kraken": 1}
    world.sessions.unsubscribe(uuid, ["binance", "kraken"])
    assert world.demand.wanted() == {"binance": 2}, "one topic of binance is left"
    world.sessions.unsubscribe(uuid, ["binance:BTC/USDT"])
    assert world.demand.wanted() == {"binance": 1}
    world.sessions.replace(uuid, ["kraken"])
    world.sessions.disconnect(uuid, subscriber.outbox, world.receipt())
    assert world.demand.wanted() == {"binance": 1}
    world.sessions.subscribe(uuid, ["binance"])
    assert world.demand.wanted() == {"binance": 1}
    world.sessions.unregister(other, origin="test")
    assert world.demand.wanted() == {}


# --- connections --------------------------------------------------------------------------------------------------


async def test_a_connection_is_described_with_its_account(
    world: World, feeds: tuple[Feed, Feed], events: Callable[[], list[Event]]
) -> None:
    uuid, subscriber = world.connected("binance")
    assert events()[-1] == ClientConnected(client=uuid, peer="peer", resumed_topics=1)
    feeds[0].tick()
    assert await subscriber.next() == "binance:BTC/USDT"
    view = msgspec.to_builtins(world.sessions.describe(uuid))
    statistics = view.pop("statistics")
    assert view == {
        "uuid": uuid, "state": "connected", "registered_at": NOW_US, "class": "standard", "topics": ["binance"],
        "connected_since": NOW_US, "peer": "peer",
    }  # fmt: skip
    assert statistics.pop("sent_bytes") > 0
    assert statistics == {
        "published": 1, "delivered": 1, "queued_messages": 0, "skipped": 0, "conflated": 0, "killed": 0,
        "queued_bytes": 0, "oldest_ms": 0, "last_asset": "binance", "last_seq": 1,
    }  # fmt: skip


async def test_the_receipt_of_the_last_connection_is_kept_told_and_logged(
    world: World, events: Callable[[], list[Event]], log_entries: list[dict[str, Any]]
) -> None:
    uuid, subscriber = world.connected("binance")
    world.now_us += 5
    receipt = world.receipt("slow_consumer_bytes")
    world.sessions.disconnect(uuid, subscriber.outbox, receipt)
    view = world.sessions.describe(uuid)
    assert (view.state, view.last_receipt, view.expires_at) == ("waiting", receipt, NOW_US + 5 + 120_000_000)
    assert (view.peer, view.connected_since, view.statistics) == (None, None, None)
    assert events()[-1] == ClientDisconnected(client=uuid, receipt=receipt)
    entry = log_entries[-1]
    assert (entry["event"], entry["log_level"]) == ("client disconnected", "warning")
    assert (entry["client"], entry["reason"], entry["queued_messages"]) == (uuid, "slow_consumer_bytes", 3)


async def test_topics_are_resumed_on_a_new_connection(world: World, feeds: tuple[Feed, Feed]) -> None:
    uuid, first = world.connected("binance", "kraken:X")
    world.sessions.disconnect(uuid, first.outbox, world.receipt())
    world.pump.remove_outbox(first.outbox)
    world.sessions.subscribe(uuid, ["kraken:Y"])
    second = world.subscriber()
    session = world.sessions.connect(uuid, second.outbox, "elsewhere", second.close)
    assert session.topic_names() == ["binance", "kraken:X", "kraken:Y"]
    for symbol in "XYZ":
        feeds[1].tick(symbol)
    assert [await second.next(), await second.next()] == ["kraken:X", "kraken:Y"]
    feeds[0].tick("A")
    assert await second.next() == "binance:A"


async def test_the_newest_connection_takes_over(
    world: World, feeds: tuple[Feed, Feed], events: Callable[[], list[Event]]
) -> None:
    uuid, first = world.connected("binance")
    second = world.subscriber()
    world.sessions.connect(uuid, second.outbox, "elsewhere", second.close)
    assert (first.told, second.told) == (["replaced"], [])
    assert await first.next() == "goodbye replaced"
    assert world.demand.calls == ["+binance", "+binance", "-binance"], "its count never falls to nothing"
    events()

    world.sessions.disconnect(uuid, first.outbox, world.receipt("replaced"))
    assert world.sessions.describe(uuid).state == "connected", "the end of the old one is no end of the new one"
    assert world.demand.wanted() == {"binance": 1}
    assert [type(event) for event in events()] == [ClientDisconnected]
    feeds[0].tick()
    assert await second.next() == "binance:BTC/USDT"
    world.sessions.subscribe(uuid, ["kraken"])
    feeds[1].tick()
    assert await second.next() == "kraken:BTC/USDT"
    world.sessions.disconnect(uuid, second.outbox, world.receipt())
    assert world.sessions.describe(uuid).state == "waiting"
    assert world.demand.wanted() == {}


async def test_a_replaced_connection_that_ends_on_the_spot_disturbs_nothing(world: World) -> None:
    uuid, first = world.connected("binance")
    second = world.subscriber()
    session = world.sessions.get(uuid)
    assert session.connection is not None
    session.connection.close = lambda _reason: world.sessions.disconnect(uuid, first.outbox, world.receipt("replaced"))
    world.sessions.connect(uuid, second.outbox, "elsewhere", second.close)
    assert world.sessions.describe(uuid).state == "connected"
    assert world.demand.wanted() == {"binance": 1}


async def test_unregistering_ends_the_connection(world: World, events: Callable[[], list[Event]]) -> None:
    uuid, subscriber = world.connected("binance")
    world.sessions.unregister(uuid, origin="test")
    assert subscriber.told == ["unregistered"]
    assert world.demand.wanted() == {}
    events()
    world.sessions.disconnect(uuid, subscriber.outbox, world.receipt("unregistered"))
    assert [type(event) for event in events()] == [ClientDisconnected], "told, although the client is gone"
