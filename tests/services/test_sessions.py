"""Clients against the real pump: registered, connected, replaced, and what reaches them before and after what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import trio
from sessions_rig import NOW_US, Feed, World, refused

from finstream.services.session import Session
from finstream.vocabulary.events import ClientConnected, ClientDisconnected, ClientRegistered, ClientUnregistered, Event
from finstream.vocabulary.topics import Topic

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


# --- what comes before what --------------------------------------------------------------------------------------


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
