"""Bytes of our own among the stream: their place in it, final ones, broadcasts."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from rig import LITTLE, Rig, balanced, numbered, tick

from finstream.pump import Framing


async def test_control_messages_keep_their_place(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), framing=Framing.LINES)
    expected = []
    for number in range(1, 101):
        assert rig.pump.push(subscriber.handle, b'{"price":%d}\n' % -number)
        await feed.write_and_wait(tick(number))
        expected += [-number, number]
    assert numbered(await subscriber.messages(200)) == expected
    assert subscriber.statistics.published == subscriber.statistics.delivered == 100  # control messages are not counted


async def test_control_messages_wait_behind_what_waits(rig: Rig) -> None:
    """Never in the middle of a message that went out in part."""
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), framing=Framing.LINES, buffer_bytes=LITTLE)
    count = 0
    while not subscriber.statistics.queued_messages:
        count += 1
        await feed.write_and_wait(tick(count, pad=700))
    waiting = subscriber.statistics
    assert rig.pump.push(subscriber.handle, b'{"price":0}\n')
    assert subscriber.statistics.queued_bytes == waiting.queued_bytes + len(b'{"price":0}\n')
    assert subscriber.statistics.queued_messages == waiting.queued_messages
    await feed.write_and_wait(tick(count + 1))
    assert numbered(await subscriber.messages(count + 2)) == [*range(1, count + 1), 0, count + 1]
    assert balanced(subscriber.statistics)
    assert subscriber.statistics.delivered == count + 1


async def test_control_messages_alone_through_a_full_socket(rig: Rig) -> None:
    subscriber = rig.subscriber(framing=Framing.LINES, buffer_bytes=LITTLE)
    pushed = [b'{"price":%d,"pad":"%s"}' % (number, b"x" * 900) for number in range(100)]
    for message in pushed:
        assert rig.pump.push(subscriber.handle, message + b"\n")
    assert subscriber.statistics.queued_bytes > 0
    assert await subscriber.messages(100) == pushed
    statistics = subscriber.statistics
    assert (statistics.published, statistics.delivered, statistics.queued_bytes) == (0, 0, 0)
    assert statistics.sent_bytes == sum(map(len, pushed)) + 100
    assert (statistics.last_asset, statistics.last_seq) == (None, None)


async def test_control_messages_count_towards_the_bounds(rig: Rig) -> None:
    by_bytes = rig.subscriber(buffer_bytes=LITTLE, max_bytes=20_000)
    for _ in range(1000):
        if not rig.pump.push(by_bytes.handle, b"x" * 1000):
            break
        await trio.lowlevel.checkpoint()
    assert (await by_bytes.closing()).reason == "slow_consumer_bytes"
    by_age = rig.subscriber(buffer_bytes=LITTLE, max_age_ms=30)
    rig.pump.push(by_age.handle, b"x" * 100_000)
    closed = await by_age.closing()
    assert closed.reason == "slow_consumer_age"
    assert closed.statistics.published == closed.statistics.killed == 0


@pytest.mark.parametrize("waiting", [False, True])
async def test_nothing_follows_a_final_message(rig: Rig, waiting: bool) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), framing=Framing.LINES, buffer_bytes=LITTLE if waiting else None)
    await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 51)))
    assert bool(subscriber.statistics.queued_bytes) is waiting
    assert rig.pump.push(subscriber.handle, b'{"price":0}\n', final=True)
    assert not rig.pump.push(subscriber.handle, b'{"price":1}\n')
    assert not rig.pump.push(subscriber.handle, b'{"price":1}\n', final=True)
    assert not rig.pump.subscribe(subscriber.handle, feed.asset, "A")
    rig.pump.broadcast(feed.asset, b'{"price":2}')
    await feed.write_and_wait(tick(51))
    assert numbered(await subscriber.messages(51)) == [*range(1, 51), 0]
    assert subscriber.statistics.published == subscriber.statistics.delivered == 50
    assert subscriber.closed == []
    assert subscriber.remove() is not None
    assert await subscriber.read_to_the_end() == b""


async def test_a_final_message_is_bounded_in_age_too(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_age_ms=50)
    await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 51)))
    assert rig.pump.push(subscriber.handle, b"\x88\x02\x03\xe8", final=True)
    closed = await subscriber.closing()
    assert closed.reason == "slow_consumer_age"
    assert balanced(closed.statistics)


async def test_pushing_to_a_lost_connection(rig: Rig) -> None:
    subscriber = rig.subscriber()
    subscriber.socket.close()
    rig.pump.push(subscriber.handle, b"x")
    closed = await subscriber.closing()
    assert closed.reason == "connection_lost"
    assert rig.pump.push(subscriber.handle, b"x") is False


@pytest.mark.parametrize("nothing", [None, "text", bytearray(b"x"), memoryview(b"x"), 1])
async def test_only_bytes_are_pushed(rig: Rig, nothing: Any) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), framing=Framing.LINES)
    with pytest.raises(TypeError):
        rig.pump.push(subscriber.handle, nothing)
    with pytest.raises(TypeError):
        rig.pump.push(subscriber.handle, nothing, final=True)
    with pytest.raises(TypeError):
        rig.pump.broadcast(feed.asset, nothing)
    with pytest.raises(TypeError):
        rig.pump.refuse(subscriber.handle, nothing)
    assert rig.pump.push(subscriber.handle, b'{"price":0}\n')
    assert numbered(await subscriber.messages(1)) == [0]


async def test_broadcasts(rig: Rig) -> None:
    one, other = rig.feed("one"), rig.feed("other")
    whole = rig.subscriber((one.asset, None))
    by_symbol = rig.subscriber((one.asset, "A"), (one.asset, "B"), framing=Framing.LINES)
    both = rig.subscriber((one.asset, None), (one.asset, "A"), (other.asset, "A"))
    of_other = rig.subscriber((other.asset, None))
    nobody = rig.subscriber()
    message = b'{"type":"asset","asset":"one","state":"running"}'
    assert rig.pump.broadcast(one.asset, message) == 3
    for subscriber in (whole, by_symbol, both):
        assert await subscriber.messages(1) == [message]
        assert subscriber.statistics.published == 0
    long_message = b'{"type":"asset","pad":"%s"}' % (b"x" * 70_000)
    assert rig.pump.broadcast(other.asset, long_message) == 2
    for subscriber in (both, of_other):
        assert await subscriber.messages(1) == [long_message]
    await nobody.nothing_more()
    await whole.nothing_more()
    rig.pump.unsubscribe(both.handle, one.asset)
    assert rig.pump.broadcast(one.asset, message) == 3
    rig.pump.unsubscribe(both.handle, one.asset, "A")
    assert rig.pump.broadcast(one.asset, message) == 2
    await one.write(tick(1))
    *broadcasts, told = await whole.messages(3)
    assert (broadcasts, numbered([told])) == ([message, message], [1])


async def test_broadcasts_keep_their_place_behind_what_waits(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, "A"), buffer_bytes=LITTLE)
    await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 51)))
    assert subscriber.statistics.queued_messages
    assert rig.pump.broadcast(feed.asset, b'{"price":0}') == 1
    await feed.write_and_wait(tick(51))
    assert numbered(await subscriber.messages(52)) == [*range(1, 51), 0, 51]
