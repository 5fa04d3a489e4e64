"""Outboxes that are given up: too many bytes, too old, or gone; each with a receipt."""

from __future__ import annotations

import errno
import socket

import pytest
import trio
from rig import LITTLE, Rig, balanced, numbered, split_frames, tick, until

from finstream.pump import OutboxClosed


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
    closed = await slow.closing()
    assert (closed.outbox, closed.reason, closed.errno) == (slow.handle, "slow_consumer_bytes", 0)
    assert 50_000 < closed.queued_bytes < 53_000
    final = closed.statistics
    assert balanced(final)
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
    assert (await strict.closing()).queued_bytes == 10_000
    assert exact.statistics.queued_bytes == 10_000
    assert exact.closed == []


async def test_killed_by_age_with_a_receipt(rig: Rig) -> None:
    feed = rig.feed()
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_age_ms=60)
    healthy = rig.subscriber((feed.asset, None), max_age_ms=60)
    started = trio.current_time()
    await feed.write(b"".join(tick(number, pad=700) for number in range(1, 101)))
    closed = await slow.closing()  # although nothing more happens
    assert trio.current_time() - started >= 0.06
    assert (closed.outbox, closed.reason, closed.errno) == (slow.handle, "slow_consumer_age", 0)
    assert 60 <= closed.oldest_ms < 5000
    assert closed.queued_bytes > 0
    assert balanced(closed.statistics)
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
    closed = await subscriber.closing()
    assert closed.reason == "connection_lost"
    assert closed.errno in (errno.EPIPE, errno.ECONNRESET)
    assert balanced(closed.statistics)
    assert closed.statistics.killed > 0
    await other.messages(100 if busy else 1)


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
        assert balanced(closed[0].statistics)
        rig.pump.remove_outbox(outbox)
