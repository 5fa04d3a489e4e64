"""Subscriptions that would rather lose or merge messages than be let go, and those that want fewer."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import strategies
import trio
import trio.testing
from rig import LITTLE, Feed, Rig, Subscriber, balanced, quote, tick, until

from finstream.pump import Framing
from finstream.vocabulary.policies import Policy

SKIP = Policy(policy="skip")
CONFLATE = Policy(policy="conflate")
MERGE_ALL = Policy(policy="conflate", trades="conflate")
BOUND = 20_000


def tamed(rig: Rig, feed: Feed, policy: Policy, symbol: str | None = None, **how: Any) -> Subscriber:
    subscriber = rig.subscriber(**{"buffer_bytes": LITTLE, "max_bytes": BOUND, **how})
    assert rig.pump.subscribe(subscriber.handle, feed.asset, symbol, policy)
    return subscriber


async def everything(subscriber: Subscriber) -> list[dict[str, Any]]:
    """Read until nothing waits any more."""
    messages: list[dict[str, Any]] = []
    while True:
        while subscriber.read_now():
            pass
        messages += map(json.loads, subscriber.take())
        if not subscriber.statistics.queued_messages and not subscriber.read_now():
            return messages
        await trio.sleep(0.001)


def gaps(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == "gap"]


def seqs(messages: list[dict[str, Any]]) -> list[int]:
    return [message["seq"] for message in messages if "seq" in message]


@pytest.mark.parametrize("framing", Framing)
async def test_skip_jumps_to_now_and_tells_the_gap(rig: Rig, framing: Framing) -> None:
    feed = rig.feed()
    slow = tamed(rig, feed, SKIP, framing=framing)
    for number in range(1, 401):
        await feed.write_and_wait(tick(number, pad=500))
    assert slow.closed == []
    assert slow.statistics.skipped > 100
    messages = await everything(slow)
    received, [gap] = seqs(messages), gaps(messages)
    final = slow.statistics
    assert balanced(final)
    assert (final.delivered, final.killed, final.conflated) == (len(received), 0, 0)
    assert received[-1] == 400
    assert received == sorted(received)
    missing = sorted(set(range(1, 401)) - set(received))
    assert gap == {
        "type": "gap", "topic": "feed", "asset": "feed", "first_seq": missing[0], "last_seq": missing[-1],
        "count": len(missing), "reason": "slow_consumer",
    }
    assert missing == list(range(missing[0], missing[-1] + 1))
    place = messages.index(gap)
    assert seqs(messages[:place])[-1] == missing[0] - 1
    assert seqs(messages[place:])[0] == missing[-1] + 1
    assert final.skipped == len(missing)


async def test_what_is_too_old_is_skipped_too(rig: Rig) -> None:
    feed = rig.feed()
    slow = tamed(rig, feed, SKIP, "A", max_bytes=1 << 26, max_age_ms=50)
    for number in range(1, 41):
        await feed.write_and_wait(tick(number, pad=500))
    await until(lambda: slow.statistics.skipped, "the old to be dropped")
    messages = await everything(slow)
    [gap] = gaps(messages)
    assert (gap["topic"], gap["symbol"]) == ("feed:A", "A")
    assert gap["count"] == slow.statistics.skipped
    assert gap["last_seq"] == 40
    assert slow.closed == []


@pytest.mark.parametrize("framing", Framing)
async def test_conflate_keeps_the_newest_quote_of_each_symbol_and_every_trade(rig: Rig, framing: Framing) -> None:
    feed = rig.feed()
    slow = tamed(rig, feed, CONFLATE, framing=framing, max_bytes=1 << 20)
    await feed.write_and_wait(b"".join(quote(number, "ABC"[number % 3], pad=300) for number in range(1, 31)))
    assert slow.statistics.conflated == 0  # one turn: nothing waited yet
    for number in range(31, 601):
        await feed.write_and_wait(quote(number, "ABC"[number % 3], pad=300) + (tick(number, "D") if number % 10 == 0 else b""))
    assert slow.statistics.conflated > 200
    messages = await everything(slow)
    trades = [message["price"] for message in messages if "price" in message]
    assert trades == [str(number) for number in range(40, 601, 10)]
    for symbol, newest in ("A", "600"), ("B", "598"), ("C", "599"):
        own = [message for message in messages if message["symbol"] == symbol]
        assert own[-1]["bid_price"] == newest
        assert seqs(own) == sorted(set(seqs(own)))
    final = slow.statistics
    assert sum(message.get("conflated", 0) for message in messages) == final.conflated
    assert balanced(final)
    assert (final.delivered, final.skipped, final.killed) == (len(messages), 0, 0)
    assert seqs(messages) == sorted(seqs(messages))


async def test_trades_merge_only_when_asked(rig: Rig) -> None:
    feed = rig.feed()
    merging, keeping = tamed(rig, feed, MERGE_ALL), tamed(rig, feed, CONFLATE)
    for number in range(1, 201):
        await feed.write_and_wait(tick(number, pad=500))
        await trio.lowlevel.checkpoint()
    closed = await keeping.closing()
    assert closed.reason == "slow_consumer_bytes"
    assert balanced(closed.statistics)
    assert merging.closed == []
    messages = await everything(merging)
    assert messages[-1]["price"] == "200"
    assert messages[-1]["conflated"] == merging.statistics.conflated > 100


@pytest.mark.parametrize("symbol_pad", [range(1, 40), range(65_200, 65_330, 3)])
async def test_a_merged_message_may_need_a_longer_header(rig: Rig, symbol_pad: range) -> None:
    """By the count alone a payload may come to be longer than 125 bytes, or than 65,535."""
    feed = rig.feed()
    slow = tamed(rig, feed, MERGE_ALL, max_bytes=1 << 26)
    await feed.write_and_wait(b"".join(tick(number, "Z", pad=3000) for number in range(1, 31)))
    for pad in symbol_pad:
        line = b'{"symbol":"S%d","bid":1,"ts":1716230000,"p":"%s"}\n' % (pad, b"x" * pad)
        await feed.write_and_wait(line)
        await feed.write_and_wait(line)
    messages = {message["symbol"]: message for message in await everything(slow)}
    for pad in symbol_pad:
        assert messages[f"S{pad}"]["conflated"] == 1
        assert messages[f"S{pad}"]["p"] == "x" * pad
    assert balanced(slow.statistics)


async def test_max_rate_sends_the_first_at_once_and_never_loses_the_last(rig: Rig) -> None:
    feed = rig.feed()
    slow = tamed(rig, feed, Policy(max_rate=20), max_bytes=1 << 26)
    started = trio.current_time()
    for number in range(1, 101):
        await feed.write_and_wait(tick(number, "A") + tick(number, "B"))
    took = trio.current_time() - started
    messages = [json.loads(message) for message in slow.take()]
    slow.read_now()
    messages += map(json.loads, slow.take())
    assert [message["price"] for message in messages[:2]] == ["1", "1"]
    await until(lambda: slow.statistics.queued_messages == 0, "the last to go")
    messages += await everything(slow)
    took = trio.current_time() - started
    for symbol in "AB":
        own = [message for message in messages if message["symbol"] == symbol]
        assert own[-1]["price"] == "100"
        assert 2 <= len(own) <= took * 20 + 2
        assert sum(message.get("conflated", 0) for message in own) == 100 - len(own)
    assert balanced(slow.statistics)
    assert slow.statistics.killed == 0


async def test_an_interval_costs_nothing_while_nothing_waits_for_it(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, Policy(max_rate=0.01), buffer_bytes=None)
    await feed.write_and_wait(tick(1) + tick(1, "B"))
    assert subscriber.statistics.queued_messages == 0
    await trio.sleep(0.02)  # the timer may ring once more before it is set anew
    before = rig.pump.statistics().batches
    await trio.sleep(0.5)
    assert rig.pump.statistics().batches - before < 10
    await feed.write_and_wait(tick(2))
    assert subscriber.statistics.queued_messages == 1
    assert rig.pump.unsubscribe(subscriber.handle, feed.asset)
    assert len(await everything(subscriber)) == 3


async def test_what_waits_for_its_interval_is_sent_when_the_subscription_ends(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, Policy(max_rate=0.01), buffer_bytes=None)
    await feed.write_and_wait(tick(1) + tick(2) + tick(3))
    assert subscriber.statistics.queued_messages == 1
    assert rig.pump.unsubscribe(subscriber.handle, feed.asset)
    assert [message["price"] for message in await everything(subscriber)] == ["1", "3"]
    assert subscriber.statistics.conflated == 1
    assert balanced(subscriber.statistics)


async def test_a_policy_can_be_changed_and_what_is_held_is_not_lost(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, SKIP, max_bytes=1 << 26)
    for number in range(1, 51):
        await feed.write_and_wait(tick(number, pad=500))
    assert not rig.pump.subscribe(subscriber.handle, feed.asset, None, SKIP)
    assert rig.pump.subscribe(subscriber.handle, feed.asset)
    assert not rig.pump.subscribe(subscriber.handle, feed.asset)
    for number in range(51, 101):
        await feed.write_and_wait(tick(number, pad=500))
    assert seqs(await everything(subscriber)) == list(range(1, 101))
    assert rig.pump.subscribe(subscriber.handle, feed.asset, None, CONFLATE)
    assert rig.pump.asset_statistics(feed.asset).subscribers == 1


async def test_what_was_held_is_not_too_old_when_it_begins_to_count(rig: Rig) -> None:
    """What could still be merged has no age; once its subscription has ended it has, from then on."""
    feed = rig.feed()
    subscriber = tamed(rig, feed, CONFLATE, max_bytes=1 << 26, max_age_ms=500)
    for number in range(1, 51):
        await feed.write_and_wait(quote(number, f"S{number}", pad=500))
    await trio.sleep(0.6)
    assert rig.pump.unsubscribe(subscriber.handle, feed.asset)
    await trio.sleep(0.1)  # several looks
    assert seqs(await everything(subscriber)) == list(range(1, 51))
    assert subscriber.closed == []


@pytest.mark.parametrize("how", ["unsubscribe", "change", "whole", "final"])
async def test_without_memory_for_what_is_held_the_subscriber_is_let_go(how: str) -> None:
    script = Path(__file__).with_name("starved.py")
    sanitizer = f"{os.environ.get('ASAN_OPTIONS', '')}:allocator_may_return_null=1"  # its own way is to end the process
    ended = await trio.run_process(
        [sys.executable, str(script), how], env={**os.environ, "ASAN_OPTIONS": sanitizer}, check=False,
        capture_stdout=True, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout.decode()


async def test_last_words_come_after_what_is_held(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, SKIP, max_bytes=1 << 26, framing=Framing.LINES)
    for number in range(1, 51):
        await feed.write_and_wait(tick(number, pad=500))
    assert rig.pump.push(subscriber.handle, b'{"type":"goodbye"}\n', final=True)
    messages = await everything(subscriber)
    assert seqs(messages) == list(range(1, 51))
    assert messages[-1] == {"type": "goodbye"}


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
    messages += await everything(subscriber)
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
    assert [message["seq"] for message in await everything(subscriber) if message["asset"] == "feed"] == [1, 2]


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


async def test_a_gap_tells_the_least_and_the_greatest_number(rig: Rig) -> None:
    """With a greatest rate what is held is not in order."""
    feed = rig.feed()
    slow = tamed(rig, feed, Policy(policy="skip", max_rate=10), max_bytes=3000)
    await feed.write_and_wait(b"".join(tick(1, symbol, pad=2000) for symbol in "ABCD"))
    await feed.write_and_wait(tick(2, "A", pad=600))
    await feed.write_and_wait(tick(1, "E", pad=600))
    await trio.sleep(0.2)
    await feed.write_and_wait(tick(1, "G", pad=2500))
    for gap in gaps(await everything(slow)):
        assert gap["last_seq"] - gap["first_seq"] >= gap["count"] - 1 >= 0


async def test_data_of_another_type_does_not_overtake_a_tick_of_its_symbol(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, Policy(max_rate=10), buffer_bytes=None)
    await feed.write_and_wait(tick(1) + tick(2) + b'{"type":"news","symbol":"A","ts":1716230000,"x":1}\n')
    await until(lambda: subscriber.statistics.queued_messages == 0)
    assert seqs(await everything(subscriber)) == [1, 2, 3]


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


async def test_books_balance_whatever_the_policies(rig: Rig, seed: int) -> None:
    choose = random.Random(seed)
    feeds = [rig.feed(f"feed-{number}") for number in range(2)]
    policies = [
        Policy(), SKIP, CONFLATE, MERGE_ALL, Policy(max_rate=200), Policy(policy="skip", max_rate=100),
        Policy(policy="conflate", max_rate=500),
    ]
    subscribers: list[Subscriber] = []
    got: dict[int, list[dict[str, Any]]] = {}
    for _ in range(10):
        subscriber = rig.subscriber(
            framing=choose.choice(list(Framing)), buffer_bytes=choose.choice([4096, 16384]),
            max_bytes=choose.choice([20_000, 100_000]), max_age_ms=choose.choice([10, 60_000]),
        )
        subscribers.append(subscriber)
        got[subscriber.handle] = []

    def read(subscriber: Subscriber, most: int) -> None:
        subscriber.read_now(most)
        got[subscriber.handle] += map(json.loads, subscriber.take())

    for _ in range(150):
        feed = choose.choice(feeds)
        lines = [
            choose.choice([tick, quote])(1, choose.choice("ABC"), pad=choose.choice([0, 50, 1500]))
            for _ in range(choose.choice([1, 5, 60]))
        ]
        await feed.write_and_wait(b"".join(lines))
        for subscriber in choose.sample(subscribers, 4):
            match choose.choice(["read", "read", "drain", "subscribe", "subscribe", "unsubscribe", "wait"]):
                case "read":
                    read(subscriber, choose.choice([1, 100, 5000]))
                case "drain":
                    read(subscriber, 1 << 20)
                case "subscribe":
                    rig.pump.subscribe(
                        subscriber.handle, choose.choice(feeds).asset, choose.choice([None, "A", "B"]), choose.choice(policies)
                    )
                case "unsubscribe":
                    rig.pump.unsubscribe(subscriber.handle, choose.choice(feeds).asset, choose.choice([None, "A", "B"]))
                case "wait":
                    await trio.sleep(0.003)
            assert balanced(subscriber.statistics), subscriber.statistics
    for subscriber in subscribers:
        while not subscriber.closed and subscriber.statistics.queued_messages:
            read(subscriber, 1 << 20)
            await trio.sleep(0.001)
        final = subscriber.remove()
        assert final is not None
        await subscriber.read_to_the_end()
        got[subscriber.handle] += map(json.loads, subscriber.take())
        messages = got[subscriber.handle]
        assert balanced(final)
        assert final.queued_messages == 0
        told = [message for message in messages if "seq" in message]
        assert len(told) == final.delivered
        if not final.killed:
            merged = sum(message.get("conflated", 0) for message in told)
            assert merged == final.conflated or (final.skipped and merged < final.conflated)  # some were skipped afterwards
            assert sum(gap["count"] for gap in gaps(messages)) == final.skipped
        for (asset, symbol), _count in Counter((message["asset"], message["symbol"]) for message in told).items():
            own = [message["seq"] for message in told if (message["asset"], message["symbol"]) == (asset, symbol)]
            assert own == sorted(set(own))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", strategies.seeds(10))
