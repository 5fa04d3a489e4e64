"""What waits under a policy and what waits beside it: bounds, warnings, and that neither starves the other."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing
from rig import LITTLE, Rig, balanced, quote, tick, until
from taming import BOUND, CONFLATE, MERGE_ALL, SKIP, seqs, tamed

from finstream.vocabulary.policies import Policy


async def test_a_plain_subscription_beside_a_tamed_one_keeps_its_bounds(rig: Rig) -> None:
    plain_feed, tamed_feed = rig.feed("plain"), rig.feed("tamed")
    subscriber = tamed(rig, tamed_feed, SKIP)
    rig.pump.subscribe(subscriber.handle, plain_feed.asset)
    for number in range(1, 201):
        await tamed_feed.write_and_wait(tick(number, pad=500))
    assert subscriber.closed == []
    for number in range(1, 201):
        await plain_feed.write_and_wait(tick(number, pad=500))
        await trio.lowlevel.checkpoint()
    closed = await subscriber.closing()
    assert closed.reason == "slow_consumer_bytes"
    assert balanced(closed.statistics)


@pytest.mark.parametrize("policy", [CONFLATE, Policy(policy="conflate", max_rate=1000), Policy(max_rate=1000), SKIP])
async def test_a_plain_subscription_does_not_starve_a_tamed_one(rig: Rig, policy: Policy) -> None:
    """The plain one's queue is never empty; the other one has its turn all the same, and waits no longer than that queue."""
    plain_feed, tamed_feed = rig.feed("plain"), rig.feed("tamed")
    subscriber = tamed(rig, tamed_feed, policy, max_bytes=1 << 26)
    rig.pump.subscribe(subscriber.handle, plain_feed.asset)
    messages: list[dict[str, Any]] = []
    last = 0

    def keeps_up() -> bool:
        if subscriber.statistics.queued_bytes < 40_000:
            return True
        subscriber.read_now(4000)
        return False

    for number in range(1, 301):
        await plain_feed.write_and_wait(tick(number, pad=1000) * 2)
        await tamed_feed.write_and_wait(quote(number))
        await until(keeps_up)
        if number > 50:
            assert subscriber.statistics.queued_messages
        messages += map(json.loads, subscriber.take())
        last = max([last, *(int(message["bid_price"]) for message in messages if "bid_price" in message)])
        assert number - last < 100
    messages += await subscriber.everything()
    own = [message for message in messages if message["asset"] == "tamed"]
    assert seqs(own) == sorted(set(seqs(own)))
    assert own[-1]["bid_price"] == "300"
    assert balanced(subscriber.statistics)
    assert subscriber.closed == []


async def test_half_a_bound_is_told_once(rig: Rig) -> None:
    feed = rig.feed()
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_bytes=100_000)
    while not slow.warned:
        await feed.write_and_wait(tick(1, pad=1000))
        await trio.lowlevel.checkpoint()
    [warning] = slow.warned
    assert warning.outbox == slow.handle
    assert 50_000 < warning.queued_bytes < 60_000
    await feed.write_and_wait(tick(1, pad=1000) * 10)
    await trio.testing.wait_all_tasks_blocked()
    assert len(slow.warned) == 1
    assert slow.closed == []


@pytest.mark.parametrize("max_bytes", [100_000, 1 << 26])
async def test_who_will_skip_is_warned_too(rig: Rig, max_bytes: int) -> None:
    """At half the bound of bytes, or of age; before anything is lost."""
    feed = rig.feed()
    slow = tamed(rig, feed, SKIP, max_bytes=max_bytes, max_age_ms=-1 if max_bytes == 100_000 else 600)
    while not slow.warned:
        await feed.write_and_wait(tick(1, pad=1000))
        await trio.sleep(0 if max_bytes == 100_000 else 0.002)
    [warning] = slow.warned
    if max_bytes == 100_000:
        assert 50_000 < warning.queued_bytes < 90_000
    else:
        assert 300 <= warning.oldest_ms < 600
    assert slow.statistics.skipped == 0


async def test_the_warning_names_all_that_waits(rig: Rig) -> None:
    """What waits for its interval, too, although it is not what made the outbox half full."""
    feed, other = rig.feed(), rig.feed("other")
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_bytes=100_000)
    rig.pump.subscribe(slow.handle, other.asset, None, Policy(max_rate=0.01))
    await other.write_and_wait(tick(1) + tick(2, pad=30_000))
    while not slow.warned:
        await feed.write_and_wait(tick(1, pad=1000))
        await trio.lowlevel.checkpoint()
    [warning] = slow.warned
    assert 80_000 < warning.queued_bytes < 90_000


async def test_an_interval_is_not_the_consumers_slowness(rig: Rig) -> None:
    """What waited for its interval for longer than max_age_ms, and then for a consumer that is behind for a moment."""
    feed, other = rig.feed(), rig.feed("other")
    subscriber = tamed(rig, feed, Policy(max_rate=1.6), max_bytes=1 << 26, max_age_ms=400)
    rig.pump.subscribe(subscriber.handle, other.asset)
    await feed.write_and_wait(tick(1) + tick(2))
    assert subscriber.read_now()
    await trio.sleep(0.6)
    await other.write_and_wait(tick(1, pad=20_000))
    await trio.sleep(0.15)
    assert subscriber.closed == []
    assert [message["seq"] for message in await subscriber.everything() if message["asset"] == "feed"] == [1, 2]


async def test_a_consumer_that_keeps_up_loses_nothing_when_many_are_due_at_once(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, Policy(policy="skip", max_rate=10), buffer_bytes=None)
    got: list[dict[str, Any]] = []

    def read() -> None:
        while subscriber.read_now():
            pass
        got.extend(map(json.loads, subscriber.take()))

    for number in 1, 2:
        await feed.write_and_wait(b"".join(tick(number, f"S{symbol}", pad=200) for symbol in range(100)))
        read()
    while subscriber.statistics.queued_messages:
        read()
        await trio.sleep(0.001)
    read()
    assert subscriber.statistics.skipped == 0
    assert Counter(message["price"] for message in got) == {"1": 100, "2": 100}


async def test_the_bound_is_the_outboxs_however_many_topics_and_changes(rig: Rig) -> None:
    feed = rig.feed()
    many = rig.subscriber(buffer_bytes=LITTLE, max_bytes=BOUND)
    for number in range(50):
        rig.pump.subscribe(many.handle, feed.asset, f"S{number}", SKIP)
    toggling = tamed(rig, feed, SKIP)
    for turn in range(60):
        await feed.write_and_wait(b"".join(tick(turn, f"S{number}", pad=500) for number in range(50)))
        for policy in MERGE_ALL, SKIP:
            rig.pump.subscribe(toggling.handle, feed.asset, None, policy)
    assert many.closed == []
    assert many.statistics.queued_bytes < 5 * BOUND  # a message of each topic, and the batch that the socket did not take
    assert toggling.closed or toggling.statistics.queued_bytes < 5 * BOUND
