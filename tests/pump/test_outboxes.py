"""Outboxes: framing, partial writes, bounds and kills with a receipt, control messages, handles."""

from __future__ import annotations

import errno
import json
import os
import socket

import pytest
import trio
from rig import Rig, Subscriber, numbered, running, split_frames, tick, until

from finstream.pump import Framing, OutboxClosed, OutboxStatistics

LITTLE = 4096
"""A send buffer that fills quickly."""


def padded(asset: str, length: int) -> bytes:
    """A line whose message has exactly ``length`` bytes, for a seq of one digit."""
    times = '"ts_event":1763700000000000,"ts_recv":1763700000000000'
    empty = len(f'{{"type":"n","asset":"{asset}","seq":1,{times},"p":""}}')
    assert length >= empty
    return b'{"type":"n","ts":1763700000,"p":"%s"}\n' % (b"x" * (length - empty))


def accounted(statistics: OutboxStatistics) -> bool:
    return statistics.published == statistics.delivered + statistics.queued_messages + statistics.killed


async def closing(subscriber: Subscriber) -> OutboxClosed:
    await until(lambda: subscriber.closed, "the outbox to be closed")
    [closed] = subscriber.closed
    return closed


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("length", [100, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 65550])
async def test_framing_around_the_lengths_that_matter(rig: Rig, framing: Framing, length: int) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), framing=framing)
    await feed.write(padded("feed", length) + padded("feed", 99) + padded("feed", length))
    messages = await subscriber.messages(3)
    assert [len(message) for message in messages] == [length, 99, length]
    assert [json.loads(message)["seq"] for message in messages] == [1, 2, 3]


async def test_frames_are_those_of_rfc_6455(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    for length, header in (
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ):
        await feed.write(padded("feed", length))
        while len(subscriber.received) < len(header) + length:
            await subscriber.read_some()
        assert subscriber.received.startswith(header + b'{"type":"n"')
        assert len(subscriber.received) == len(header) + length
        subscriber.received.clear()


async def test_both_framings_tell_the_same(rig: Rig) -> None:
    feed = rig.feed()
    frames = rig.subscriber((feed.asset, None))
    lines = rig.subscriber((feed.asset, None), framing=Framing.LINES)
    late_lines = rig.subscriber((feed.asset, "B"), framing=Framing.LINES)
    text = [tick(number, "AB"[number % 2], pad=number % 3 * 3000) for number in range(1, 1001)]
    await feed.write(b"".join(text))
    all_of_it = await frames.messages(1000)
    assert await lines.messages(1000) == all_of_it
    assert await late_lines.messages(500) == all_of_it[::2]


async def test_partial_writes_lose_nothing(rig: Rig) -> None:
    """A reader that takes a few bytes at a time through a tiny buffer gets every message whole and in order."""
    feed = rig.feed()
    subscribers = [
        rig.subscriber((feed.asset, None), framing=framing, buffer_bytes=LITTLE) for framing in Framing
    ]
    count = 2000
    text = b"".join(tick(number, pad=number * 13 % 500) for number in range(1, count + 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.write, text)
        for subscriber, at_once in zip(subscribers, (997, 1361), strict=True):

            @nursery.start_soon
            async def read(subscriber: Subscriber = subscriber, at_once: int = at_once) -> None:
                assert numbered(await subscriber.messages(count, at_once=at_once)) == list(range(1, count + 1))

    assert rig.pump.statistics().partial_sends > 0
    for subscriber in subscribers:
        statistics = subscriber.statistics
        assert (statistics.published, statistics.delivered, statistics.queued_messages) == (count, count, 0)
        assert (statistics.queued_bytes, statistics.oldest_ms, statistics.killed) == (0, 0, 0)
        assert (statistics.last_asset, statistics.last_seq) == (feed.asset, count)
        await subscriber.nothing_more()


async def test_statistics_while_it_waits(rig: Rig) -> None:
    """Whatever is read, byte by byte of a message: delivered is what the kernel took completely."""
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 101)))
    statistics = subscriber.statistics
    assert statistics.published == 100
    assert 0 < statistics.queued_messages < 100
    assert accounted(statistics)
    await until(lambda: subscriber.statistics.oldest_ms >= 5)
    sizes = []
    while subscriber.statistics.queued_messages:
        subscriber.read_now(300)
        statistics = subscriber.statistics
        assert accounted(statistics)
        assert statistics.sent_bytes + statistics.queued_bytes == subscriber_bytes(100)
        sizes.append(statistics.delivered)
        assert statistics.last_seq == statistics.delivered
        await trio.lowlevel.checkpoint()
    assert sizes == sorted(sizes)
    assert numbered(await subscriber.messages(100)) == list(range(1, 101))
    assert subscriber.statistics.sent_bytes == subscriber_bytes(100)


def subscriber_bytes(count: int) -> int:
    """What ``count`` messages of 700 padding bytes each weigh on the wire."""
    fixed = len(
        '{"type":"tick","asset":"feed","seq":,"symbol":"A","exchange":"feed","price":"","ts_event":1763700000000000,'
        '"ts_recv":1763700000000000,"pad":""}'
    )
    return sum(4 + fixed + 700 + 2 * len(str(number)) for number in range(1, count + 1))


async def test_killed_by_bytes_with_a_receipt(rig: Rig) -> None:
    feed = rig.feed()
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_bytes=50_000)
    healthy = rig.subscriber((feed.asset, None))
    count = 0
    while not slow.closed:
        count += 1
        await feed.write_and_wait(tick(count, pad=1000))
        assert numbered(await healthy.messages(1)) == [count]
        await trio.lowlevel.checkpoint()
        assert count < 1000
    closed = await closing(slow)
    assert (closed.outbox, closed.reason, closed.errno) == (slow.handle, "slow_consumer_bytes", 0)
    assert 50_000 < closed.queued_bytes < 53_000
    final = closed.statistics
    assert accounted(final)
    assert (final.queued_messages, final.queued_bytes) == (0, 0)
    assert final.killed > 40
    assert final.delivered == final.last_seq
    assert final.last_asset == feed.asset
    assert slow.pump.outbox_statistics(slow.handle) == final
    await feed.write(tick(count + 1))
    await healthy.messages(1)
    assert slow.remove() == final  # nothing was published to it any more
    await slow.read_to_the_end()
    received, rest = split_frames(slow.received)
    assert numbered(received) == list(range(1, final.delivered + 1))
    assert len(rest) < 1200  # at most the beginning of the next
    assert sum(len(message) for message in received) + 4 * len(received) + len(rest) == final.sent_bytes
    assert healthy.statistics.killed == 0


async def test_exactly_the_bound_is_no_offence(rig: Rig) -> None:
    """Two outboxes whose sockets take equally much; what waits is as long as the bound, and one byte longer."""
    exact = rig.subscriber(buffer_bytes=LITTLE, max_bytes=10_000)
    strict = rig.subscriber(buffer_bytes=LITTLE, max_bytes=9_999)
    for subscriber in (exact, strict):
        while not subscriber.statistics.queued_bytes:
            rig.pump.push(subscriber.handle, b"x" * 1000)
    waiting = exact.statistics.queued_bytes
    assert waiting == strict.statistics.queued_bytes
    for subscriber in (exact, strict):
        rig.pump.push(subscriber.handle, b"x" * (10_000 - waiting))
    assert (await closing(strict)).queued_bytes == 10_000
    assert exact.statistics.queued_bytes == 10_000
    assert exact.closed == []


async def test_killed_by_age_with_a_receipt(rig: Rig) -> None:
    feed = rig.feed()
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_age_ms=60)
    healthy = rig.subscriber((feed.asset, None), max_age_ms=60)
    started = trio.current_time()
    await feed.write(b"".join(tick(number, pad=700) for number in range(1, 101)))
    closed = await closing(slow)  # although nothing more happens
    assert trio.current_time() - started >= 0.06
    assert (closed.outbox, closed.reason, closed.errno) == (slow.handle, "slow_consumer_age", 0)
    assert 60 <= closed.oldest_ms < 5000
    assert closed.queued_bytes > 0
    assert accounted(closed.statistics)
    assert closed.statistics.killed > 0
    assert closed.statistics.delivered == closed.statistics.last_seq
    assert await healthy.messages(100)
    assert healthy.closed == []


async def test_who_keeps_reading_is_not_too_old(rig: Rig) -> None:
    """The bound is on how long a byte waits, not on how long something waits."""
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_age_ms=1000)
    numbers: list[int] = []
    number = 0
    deadline = trio.current_time() + 1.3
    while trio.current_time() < deadline:
        while subscriber.statistics.queued_bytes < 20_000:
            number += 1
            await feed.write_and_wait(tick(number, pad=500))
        subscriber.read_now(5000)
        numbers += numbered(subscriber.take())
        assert subscriber.statistics.oldest_ms < 1000
        await trio.sleep(0.01)
    assert subscriber.closed == []
    numbers += numbered(await subscriber.messages(number - len(numbers)))
    assert numbers == list(range(1, number + 1))


@pytest.mark.parametrize("busy", [False, True])
async def test_a_peer_that_left(rig: Rig, busy: bool) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    other = rig.subscriber((feed.asset, None))
    if busy:
        await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 101)))
        assert subscriber.statistics.queued_messages
    subscriber.socket.close()
    if not busy:
        await feed.write(tick(1))
    closed = await closing(subscriber)
    assert closed.reason == "connection_lost"
    assert closed.errno in (errno.EPIPE, errno.ECONNRESET)
    assert accounted(closed.statistics)
    assert closed.statistics.killed > 0
    await other.messages(100 if busy else 1)


async def test_removing_a_waiting_outbox(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), (feed.asset, "A"), buffer_bytes=LITTLE)
    await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 101)))
    before = subscriber.statistics
    assert before.queued_messages > 0
    final = rig.pump.remove_outbox(subscriber.handle)
    assert final is not None
    assert accounted(final)
    assert (final.published, final.delivered, final.killed) == (100, before.delivered, before.queued_messages)
    assert (final.queued_messages, final.queued_bytes, final.oldest_ms) == (0, 0, 0)
    assert rig.pump.remove_outbox(subscriber.handle) is None
    assert rig.pump.outbox_statistics(subscriber.handle) is None
    assert rig.pump.asset_statistics(feed.asset).subscribers == 0
    # The descriptor is ours alone from now on.
    await feed.write_and_wait(tick(101))
    assert os.write(subscriber.pump_side.fileno(), b"") == 0
    await subscriber.read_to_the_end()
    assert numbered(split_frames(subscriber.received)[0]) == list(range(1, before.delivered + 1))
    assert subscriber.closed == []


async def test_removing_outboxes_while_ticks_flow(rig: Rig) -> None:
    feed = rig.feed()
    text = b"".join(map(tick, range(1, 201)))
    finals = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            for _ in range(100):
                await feed.write(text)

        for number in range(100):
            topic = (feed.asset, "A" if number % 2 else None)
            subscriber = rig.subscriber(topic, buffer_bytes=LITTLE if number % 3 else None)
            await until(lambda subscriber=subscriber: subscriber.statistics.published or not nursery.child_tasks)
            subscriber.read_now(number * 100 + 1)
            final = subscriber.remove()
            assert final is not None
            finals.append(final)
            await subscriber.read_to_the_end()
            messages, rest = split_frames(subscriber.received)
            assert len(messages) == final.delivered
            assert len(rest) == 0 or final.killed
    assert all(map(accounted, finals))
    assert rig.pump.statistics().outboxes == 0
    assert rig.pump.statistics().delivered == sum(final.delivered for final in finals)


async def test_handles_of_outboxes_are_never_used_again(rig: Rig) -> None:
    feed = rig.feed()
    handles = set()
    for _ in range(200):
        subscriber = rig.subscriber((feed.asset, None))
        handles.add(subscriber.handle)
        subscriber.close()
    assert len(handles) == 200
    current = rig.subscriber()
    for handle in (*handles, 0, -1, 2**62, 2**31):
        assert rig.pump.remove_outbox(handle) is None
        assert rig.pump.outbox_statistics(handle) is None
        assert rig.pump.push(handle, b"x") is False
        assert rig.pump.subscribe(handle, feed.asset) is False
        assert rig.pump.unsubscribe(handle, feed.asset) is False
    await feed.write_and_wait(tick(1))
    await current.nothing_more()


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
    assert accounted(subscriber.statistics)
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
    assert (await closing(by_bytes)).reason == "slow_consumer_bytes"
    by_age = rig.subscriber(buffer_bytes=LITTLE, max_age_ms=30)
    rig.pump.push(by_age.handle, b"x" * 100_000)
    closed = await closing(by_age)
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
    closed = await closing(subscriber)
    assert closed.reason == "slow_consumer_age"
    assert accounted(closed.statistics)


async def test_pushing_to_a_lost_connection(rig: Rig) -> None:
    subscriber = rig.subscriber()
    subscriber.socket.close()
    rig.pump.push(subscriber.handle, b"x")
    closed = await closing(subscriber)
    assert closed.reason == "connection_lost"
    assert rig.pump.push(subscriber.handle, b"x") is False


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


async def test_outboxes_on_tcp(rig: Rig) -> None:
    """Sockets as the engine has them: reset by the peer in the middle of a stream."""
    feed = rig.feed()
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        served, _ = server.accept()
    with served:
        closed: list[OutboxClosed] = []
        outbox = rig.pump.add_outbox(served.fileno(), closed.append)
        assert rig.pump.subscribe(outbox, feed.asset)
        await feed.write(tick(1))
        client.settimeout(10)
        received = client.recv(4096)
        assert numbered(split_frames(received)[0]) == [1]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.close()
        for number in range(2, 50):
            await feed.write_and_wait(tick(number))
        await until(lambda: closed)
        assert closed[0].reason == "connection_lost"
        assert closed[0].errno in (errno.ECONNRESET, errno.EPIPE)
        assert accounted(closed[0].statistics)
        rig.pump.remove_outbox(outbox)


async def test_many_outboxes_share_every_message() -> None:
    async with running() as rig:
        feed = rig.feed()
        subscribers = [rig.subscriber((feed.asset, None if number % 2 else "A")) for number in range(300)]
        await feed.write(b"".join(map(tick, range(1, 101))))
        for subscriber in subscribers:
            assert numbered(await subscriber.messages(100)) == list(range(1, 101))
        assert rig.pump.statistics().delivered == 30_000
        assert rig.pump.asset_statistics(feed.asset).subscribers == 300
