"""Who gets what: whole assets, single symbols, both at once."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import strategies
from rig import Rig, Subscriber, numbered, tick

from finstream.pump import Framing


def news(symbol: str | None = None) -> bytes:
    return b'{"type":"news","ts":1%s}\n' % (b',"symbol":"%s"' % symbol.encode() if symbol is not None else b"")


async def told(subscriber: Subscriber, count: int) -> list[tuple[str, str | None, int]]:
    messages: list[dict[str, Any]] = [json.loads(message) for message in await subscriber.messages(count)]
    return [(message["type"], message.get("symbol"), message["seq"]) for message in messages]


@pytest.mark.parametrize("framing", Framing)
async def test_topics(rig: Rig, framing: Framing) -> None:
    feed, other = rig.feed("feed"), rig.feed("other")
    whole = rig.subscriber((feed.asset, None), framing=framing)
    one = rig.subscriber((feed.asset, "A"), framing=framing)
    two = rig.subscriber((feed.asset, "C"), (feed.asset, "A"), (feed.asset, "never"), framing=framing)
    overlapping = rig.subscriber((feed.asset, "A"), (feed.asset, None), (feed.asset, "B"), framing=framing)
    elsewhere = rig.subscriber((other.asset, "A"), framing=framing)
    nothing = rig.subscriber(framing=framing)
    await feed.write(tick(1, "A") + tick(2, "B") + tick(3, "C") + news("A") + tick(5, "A") + news() + tick(7, "A"))
    everything = [
        ("tick", "A", 1), ("tick", "B", 2), ("tick", "C", 3), ("news", "A", 4), ("tick", "A", 5), ("news", None, 6),
        ("tick", "A", 7),
    ]
    assert await told(whole, 7) == everything
    assert await told(overlapping, 7) == everything
    assert await told(one, 4) == [message for message in everything if message[1] == "A"]
    assert await told(two, 5) == [message for message in everything if message[1] in ("A", "C")]
    await other.write(tick(1, "A") + tick(2, "B"))
    assert await told(elsewhere, 1) == [("tick", "A", 1)]
    for subscriber in (whole, one, two, overlapping, elsewhere, nothing):
        await subscriber.nothing_more()
        assert subscriber.statistics.queued_bytes == 0


async def test_a_symbol_is_compared_decoded(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, "BTC/é😀"))
    await feed.write(
        b'{"symbol":"BTC\\/\\u00e9\\ud83d\\ude00","price":1,"ts":1}\n'
        b'{"symbol":"btc/\xc3\xa9\xf0\x9f\x98\x80","price":2,"ts":1}\n'
        b'{"symbol":"BTC/\xc3\xa9\xf0\x9f\x98\x80","price":3,"ts":1}\n{"symbol":"BTC/\xc3\xa9","price":4,"ts":1}\n'
        b'{"type":"news","symbol":"BTC\\u002f\xc3\xa9\\uD83D\\uDE00","price":5,"ts":1}\n'
    )
    assert numbered(await subscriber.messages(3)) == [1, 3, 5]


async def test_subscribing_twice_and_unsubscribing(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber()
    handle = subscriber.handle
    pump = rig.pump
    assert pump.subscribe(handle, feed.asset)
    assert not pump.subscribe(handle, feed.asset)
    assert pump.subscribe(handle, feed.asset, "A")
    assert not pump.subscribe(handle, feed.asset, "A")
    await feed.write_and_wait(tick(1, "A") + tick(2, "B"))
    assert numbered(await subscriber.messages(2)) == [1, 2]
    assert pump.unsubscribe(handle, feed.asset)
    assert not pump.unsubscribe(handle, feed.asset)
    await feed.write_and_wait(tick(3, "A") + tick(4, "B"))
    assert numbered(await subscriber.messages(1)) == [3]
    assert pump.subscribe(handle, feed.asset)
    assert pump.unsubscribe(handle, feed.asset, "A")
    assert not pump.unsubscribe(handle, feed.asset, "A")
    assert not pump.unsubscribe(handle, feed.asset, "unheard of")
    await feed.write_and_wait(tick(5, "A") + tick(6, "B"))
    assert numbered(await subscriber.messages(2)) == [5, 6]
    assert pump.unsubscribe(handle, feed.asset)
    await feed.write_and_wait(tick(7, "A"))
    await subscriber.nothing_more()
    assert subscriber.statistics.published == 5
    assert pump.asset_statistics(feed.asset).subscribers == 0


async def test_counting_subscribers(rig: Rig) -> None:
    feed = rig.feed()
    pump = rig.pump
    rig.subscriber((feed.asset, None))
    two = rig.subscriber((feed.asset, "A"), (feed.asset, "B"))
    one = rig.subscriber((feed.asset, "A"))

    def counts() -> tuple[int, dict[str, int]]:
        by_symbol = {each.symbol: each.subscribers for each in pump.symbol_statistics(feed.asset)}
        wanted = {name: count for name, count in by_symbol.items() if count}
        return pump.asset_statistics(feed.asset).subscribers, wanted

    assert counts() == (3, {"A": 2, "B": 1})  # outboxes, each counted once
    one.remove()
    assert counts() == (2, {"A": 1, "B": 1})
    pump.unsubscribe(two.handle, feed.asset, "A")
    assert counts() == (2, {"B": 1})
    pump.unsubscribe(two.handle, feed.asset, "B")
    assert counts() == (1, {})


async def test_subscriptions_outlive_their_sources(rig: Rig) -> None:
    asset = rig.pump.add_asset("feed")
    subscriber = rig.subscriber((asset, "A"))
    for number in range(1, 4):
        feed = rig.feed("feed")
        await feed.write(tick(number))
        await feed.end()
        rig.pump.retire_asset(asset)
    assert numbered(await subscriber.messages(3)) == [1, 2, 3]


async def test_unknown_assets(rig: Rig) -> None:
    subscriber = rig.subscriber()
    for asset in (5, -1, 2**31 - 1):
        assert not rig.pump.subscribe(subscriber.handle, asset)
        assert not rig.pump.unsubscribe(subscriber.handle, asset)
        assert rig.pump.broadcast(asset, b"{}") == 0
        with pytest.raises(KeyError):
            rig.pump.symbol_statistics(asset)
        with pytest.raises(KeyError):
            rig.pump.asset_statistics(asset)
        with pytest.raises(KeyError):
            rig.pump.add_source(asset, subscriber.pump_side.fileno(), lambda _event: None)
    assert rig.pump.asset_handle("unheard of") is None


@pytest.mark.parametrize("seed", strategies.seeds(6))
async def test_any_topics_against_a_model(rig: Rig, seed: int) -> None:
    """Random subscriptions and batches: every outbox gets what its topics name, in order, and no more."""
    choose = random.Random(seed)
    feeds = [rig.feed(f"feed-{number}") for number in range(3)]
    symbols = ["A", "B", "C", "BTC/USDT", "é"]
    subscribers = [
        rig.subscriber(framing=choose.choice(list(Framing)), buffer_bytes=choose.choice([None, 4096]))
        for _ in range(12)
    ]
    topics: dict[int, set[tuple[int, str | None]]] = {subscriber.handle: set() for subscriber in subscribers}
    expected: dict[int, list[tuple[int, int]]] = {handle: [] for handle in topics}
    number = 0
    for _ in range(60):
        for subscriber in choose.sample(subscribers, 4):
            topic = choose.choice(feeds).asset, choose.choice([None, *symbols])
            act = choose.choice([rig.pump.subscribe, rig.pump.subscribe, rig.pump.unsubscribe])
            before = topic in topics[subscriber.handle]
            assert act(subscriber.handle, *topic) is (before is (act == rig.pump.unsubscribe))
            topics[subscriber.handle] ^= {topic} if before is (act == rig.pump.unsubscribe) else set()
        feed = choose.choice(feeds)
        lines = []
        for _ in range(choose.choice([1, 2, 30])):
            number += 1
            symbol = choose.choice(symbols)
            lines.append(tick(number, symbol, pad=choose.choice([0, 0, 200])))
            for handle, wanted in topics.items():
                if wanted & {(feed.asset, None), (feed.asset, symbol)}:
                    expected[handle].append((feed.asset, number))
        await feed.write_and_wait(b"".join(lines))
    for subscriber in subscribers:
        messages = await subscriber.messages(len(expected[subscriber.handle]))
        for feed in feeds:
            name = rig.pump.asset_name(feed.asset)
            got = [json.loads(message) for message in messages if json.loads(message)["asset"] == name]
            assert [int(message["price"]) for message in got] == [
                number for asset, number in expected[subscriber.handle] if asset == feed.asset
            ]
            assert [message["seq"] for message in got] == sorted({message["seq"] for message in got})
        statistics = subscriber.statistics
        assert statistics.published == statistics.delivered == len(messages)


async def test_batches_larger_than_one_turn(rig: Rig) -> None:
    """More than a mebibyte at once, most of it for nobody: the slices of a symbol stay in their places."""
    feed = rig.feed()
    rare = rig.subscriber((feed.asset, "rare"), max_bytes=1 << 30)
    both = rig.subscriber((feed.asset, "rare"), (feed.asset, "common"), max_bytes=1 << 30)
    count = 30_000
    text = b"".join(tick(number, "rare" if number % 7 == 0 else "common") for number in range(1, count + 1))
    await feed.write_and_wait(text)
    assert numbered(await rare.messages(count // 7)) == list(range(7, count + 1, 7))
    assert numbered(await both.messages(count)) == list(range(1, count + 1))


async def test_as_many_slices_as_a_batch_can_have(rig: Rig) -> None:
    """Every other message of a batch, thousands of them: more pieces than one system call takes."""
    feed = rig.feed()
    alternating = rig.subscriber((feed.asset, "A"), max_bytes=1 << 30)
    small = rig.subscriber((feed.asset, "B"), max_bytes=1 << 30, buffer_bytes=4096)
    count = 20_000
    await feed.write_and_wait(b"".join(tick(number, "AB"[number % 2]) for number in range(1, count + 1)))
    assert numbered(await alternating.messages(count // 2)) == list(range(2, count + 1, 2))
    assert numbered(await small.messages(count // 2)) == list(range(1, count + 1, 2))


async def test_many_symbols(rig: Rig) -> None:
    feed = rig.feed()
    names = [f"SYMBOL-{number}" for number in range(5000)]
    subscriber = rig.subscriber(*((feed.asset, name) for name in names[::5]))
    await feed.write_and_wait(b"".join(tick(number + 1, name) for number, name in enumerate(names)))
    assert numbered(await subscriber.messages(1000)) == list(range(1, 5001, 5))
    statistics = rig.pump.symbol_statistics(feed.asset)
    assert {each.symbol for each in statistics} == set(names)
    assert all(each.ticks == 1 for each in statistics)
    assert rig.pump.asset_statistics(feed.asset).symbols == 5000
