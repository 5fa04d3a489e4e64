"""The bound on what all outboxes hold together."""

from __future__ import annotations

import fcntl

import pytest
import trio
from rig import LITTLE, Rig, balanced, numbered, resting, tick, until

from finstream.pump import MemoryMark
from finstream.vocabulary.policies import Policy


async def test_the_lowest_priority_goes_first_and_then_who_waited_longest(rig: Rig) -> None:
    feed = rig.feed()
    marks: list[MemoryMark] = []
    low_late = rig.subscriber(buffer_bytes=LITTLE)
    high = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    low_early = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    healthy = rig.subscriber((feed.asset, None))
    for subscriber, priority in (low_late, 1), (low_early, 1), (high, 9):
        rig.pump.set_priority(subscriber.handle, priority)
    rig.pump.guard(300_000, 600_000, marks.append)
    number = 0

    async def publish() -> None:
        nonlocal number
        number += 1
        await feed.write_and_wait(tick(number, pad=1000))
        assert numbered(await healthy.messages(1)) == [number]
        await trio.lowlevel.checkpoint()

    while not low_early.statistics.queued_messages:
        await publish()
    rig.pump.subscribe(low_late.handle, feed.asset)
    while not low_early.closed:
        await publish()
        assert number < 2000
    assert (await low_early.closing()).reason == "memory_pressure"
    assert balanced(low_early.closed[0].statistics)
    assert low_late.closed == high.closed == []
    held = low_late.statistics.queued_bytes + high.statistics.queued_bytes
    assert 150_000 < held <= 300_000
    assert [mark.level for mark in marks] == ["soft"]
    assert 300_000 < marks[0].held_bytes < 320_000
    while not low_late.closed:
        await publish()
    assert high.closed == []
    high.remove()
    await until(lambda: [mark.level for mark in marks] == ["soft", "normal"], "the news that it is over")
    assert healthy.closed == []


async def test_one_batch_for_many_does_not_go_far_beyond_the_mark() -> None:
    """Neither is it counted only at its end, when it is many times as much."""
    async with resting() as rig:
        feed = rig.feed()
        fcntl.fcntl(feed.pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
        marks: list[MemoryMark] = []
        slow = [rig.subscriber((feed.asset, None), buffer_bytes=LITTLE) for _ in range(60)]
        best = slow[30]
        rig.pump.set_priority(best.handle, 9)
        rig.pump.guard(1_000_000, 2_000_000, marks.append)
        await feed.write(b"".join(tick(number, pad=1000) for number in range(1, 101)))
        await rig.start()

        def left_bytes() -> int:
            return sum(subscriber.statistics.queued_bytes for subscriber in slow if not subscriber.closed)

        # They are told one by one, while the batch goes on.
        await until(lambda: sum(len(subscriber.closed) for subscriber in slow) > 45, "evictions")
        await until(lambda: left_bytes() <= 1_000_000, "evictions down to the mark")
        assert rig.pump.asset_statistics(feed.asset).reads == 1
        assert [mark.level for mark in marks] == ["soft"]
        assert marks[0].held_bytes < 1_200_000
        assert best.closed == []
        assert 800_000 < left_bytes() <= 1_000_000
        for subscriber in slow:
            assert balanced(subscriber.statistics)
            assert subscriber.statistics.published == 100


async def test_above_the_hard_mark(rig: Rig) -> None:
    feed = rig.feed()
    marks: list[MemoryMark] = []
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    rig.pump.guard(20_000, 20_001, marks.append)
    while not slow.closed:
        await feed.write_and_wait(tick(1, pad=5000))
        await trio.lowlevel.checkpoint()
    assert marks[0].level == "hard"
    assert slow.closed[0].reason == "memory_pressure"


async def test_held_messages_count(rig: Rig) -> None:
    """Those of policies wait outside of the queue; they are memory all the same."""
    feed = rig.feed()
    slow = rig.subscriber(buffer_bytes=LITTLE)
    rig.pump.subscribe(slow.handle, feed.asset, None, Policy(policy="skip"))
    rig.pump.guard(100_000, 200_000, lambda _mark: None)
    for number in range(200):
        await feed.write_and_wait(tick(number + 1, pad=1000))
        await trio.lowlevel.checkpoint()
    closed = await slow.closing()
    assert closed.reason == "memory_pressure"
    assert 90_000 < closed.queued_bytes < 100_000  # of memory a little more
    assert balanced(closed.statistics)


@pytest.mark.parametrize("policy", [Policy(), Policy(policy="skip"), Policy(max_rate=0.01)])
async def test_the_bookkeeping_of_short_messages_counts(rig: Rig, policy: Policy) -> None:
    """Each waits in a piece of memory of its own, with what is to be known of it."""
    feed = rig.feed()
    marks: list[MemoryMark] = []
    slow = rig.subscriber(buffer_bytes=LITTLE)
    rig.pump.subscribe(slow.handle, feed.asset, None, policy)
    rig.pump.guard(100_000, 200_000, marks.append)
    for turn in range(4):
        for symbol in range(500):
            await feed.write_and_wait(tick(turn, f"S{symbol}"))
            if slow.closed:
                break
    closed = await slow.closing()
    assert closed.reason == "memory_pressure"
    overhead = marks[0].held_bytes - closed.queued_bytes
    assert 100_000 < marks[0].held_bytes < 105_000
    assert 60 < overhead / closed.statistics.killed < 150


async def test_messages_that_wait_for_their_interval_count(rig: Rig) -> None:
    feed = rig.feed()
    marks: list[MemoryMark] = []
    rig.pump.guard(1_000_000, 2_000_000, marks.append)
    subscribers = [rig.subscriber() for _ in range(20)]
    for number, subscriber in enumerate(subscribers):
        rig.pump.set_priority(subscriber.handle, number)
        rig.pump.subscribe(subscriber.handle, feed.asset, None, Policy(max_rate=0.01))
    for turn in 1, 2:
        for first in range(0, 40, 5):
            await feed.write_and_wait(b"".join(tick(turn, f"S{first + n}", pad=8000) for n in range(5)))
            for subscriber in subscribers:
                subscriber.read_now()
    await until(lambda: any(subscriber.closed for subscriber in subscribers), "an eviction")
    assert marks
    assert sum(subscriber.statistics.queued_bytes for subscriber in subscribers) <= 1_000_000
    evicted = [number for number, subscriber in enumerate(subscribers) if subscriber.closed]
    assert evicted == list(range(len(evicted)))  # the lowest priorities
    for number in evicted:
        [closed] = subscribers[number].closed
        assert closed.statistics.killed > 0
        assert closed.queued_bytes > 8000 * closed.statistics.killed  # a receipt that says 0 would explain nothing


async def test_who_waits_for_intervals_only_is_spared_while_others_fill_the_memory(rig: Rig) -> None:
    feed, other = rig.feed(), rig.feed("other")
    patient, late = (rig.subscriber((other.asset, None)) for _ in range(2))
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    rig.pump.set_priority(slow.handle, 9)
    rig.pump.set_priority(late.handle, 5)
    rig.pump.guard(200_000, 400_000, lambda _mark: None)
    for subscriber in patient, late:
        rig.pump.subscribe(subscriber.handle, other.asset, None, Policy(max_rate=0.01))
    await other.write_and_wait(tick(1) + tick(2, pad=20_000))
    while not slow.closed:
        await feed.write_and_wait(tick(1, pad=5000))
        await trio.lowlevel.checkpoint()
    assert patient.closed == late.closed == []
    for number in range(6):  # now it is they
        await other.write_and_wait(tick(1, f"S{number}") + tick(2, f"S{number}", pad=20_000))
        await trio.lowlevel.checkpoint()
    await until(lambda: patient.closed, "an eviction")
    assert late.closed == []


async def test_nobody_is_let_go_for_the_memory_of_unfinished_lines(rig: Rig) -> None:
    feeds = [rig.feed(f"feed-{number}") for number in range(3)]
    marks: list[MemoryMark] = []
    rig.pump.guard(100_000, 300_000, marks.append)
    slow = rig.subscriber((feeds[0].asset, None), buffer_bytes=LITTLE)
    for feed in feeds:
        await feed.write_and_wait(b'{"x":"' + b"y" * 60_000)
    for _ in range(10):
        await feeds[1].write_and_wait(b"y")
        await trio.lowlevel.checkpoint()
        rig.pump.broadcast(feeds[0].asset, b'{"type":"asset","pad":"%s"}' % (b"x" * 1000))
    for feed in feeds:
        await feed.write_and_wait(b'"}\n')
    await until(lambda: not marks or marks[-1].level == "normal", "the memory to be free again")
    assert slow.closed == []
