"""Outboxes: framing, partial writes, statistics, removal, handles."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import trio
from rig import LITTLE, Rig, Subscriber, balanced, numbered, split_frames, tick, until

from finstream.pump import Framing


def padded(asset: str, length: int) -> bytes:
    """A line whose message has exactly ``length`` bytes, for a seq of one digit."""
    times = '"ts_event":1763700000000000,"ts_recv":1763700000000000'
    empty = len(f'{{"type":"n","asset":"{asset}","seq":1,{times},"p":""}}')
    assert length >= empty
    return b'{"type":"n","ts":1763700000,"p":"%s"}\n' % (b"x" * (length - empty))


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
    assert balanced(statistics)
    await until(lambda: subscriber.statistics.oldest_ms >= 5)
    sizes = []
    while subscriber.statistics.queued_messages:
        subscriber.read_now(300)
        statistics = subscriber.statistics
        assert balanced(statistics)
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


async def test_removing_a_waiting_outbox(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), (feed.asset, "A"), buffer_bytes=LITTLE)
    await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 101)))
    before = subscriber.statistics
    assert before.queued_messages > 0
    final = rig.pump.remove_outbox(subscriber.handle)
    assert final is not None
    assert balanced(final)
    assert (final.published, final.delivered, final.killed) == (100, before.delivered, before.queued_messages)
    assert (final.queued_messages, final.queued_bytes) == (0, before.queued_bytes), "the bytes that were dropped"
    assert final.oldest_ms >= before.oldest_ms
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
    assert all(map(balanced, finals))
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


async def test_many_outboxes_share_every_message(rig: Rig) -> None:
    feed = rig.feed()
    subscribers = [rig.subscriber((feed.asset, None if number % 2 else "A")) for number in range(300)]
    await feed.write(b"".join(map(tick, range(1, 101))))
    for subscriber in subscribers:
        assert numbered(await subscriber.messages(100)) == list(range(1, 101))
    assert rig.pump.statistics().delivered == 30_000
    assert rig.pump.asset_statistics(feed.asset).subscribers == 300


async def test_only_a_socket_is_an_outbox(rig: Rig, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    regular = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    gone = os.dup(ours)
    os.close(gone)
    reasons = {ours: errno.ENOTSOCK, theirs: errno.ENOTSOCK, regular: errno.ENOTSOCK, gone: errno.EBADF, -1: errno.EBADF}
    for fd, why in reasons.items():
        with pytest.raises(OSError, match="outbox") as raised:
            rig.pump.add_outbox(fd, lambda _closed: None)
        assert raised.value.errno == why
    for fd in (ours, theirs, regular):
        os.close(fd)
    assert rig.pump.statistics().outboxes == 0
