"""Subscriptions that would rather lose or merge messages than be let go, and those that want fewer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from rig import Rig, balanced, quote, tick, until
from taming import CONFLATE, MERGE_ALL, SKIP, gaps, seqs, tamed

from finstream.pump import Framing
from finstream.vocabulary.policies import Policy


@pytest.mark.parametrize("framing", Framing)
async def test_skip_jumps_to_now_and_tells_the_gap(rig: Rig, framing: Framing) -> None:
    feed = rig.feed()
    slow = tamed(rig, feed, SKIP, framing=framing)
    for number in range(1, 401):
        await feed.write_and_wait(tick(number, pad=500))
    assert slow.closed == []
    assert slow.statistics.skipped > 100
    messages = await slow.everything()
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
    messages = await slow.everything()
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
    messages = await slow.everything()
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
    messages = await merging.everything()
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
    messages = {message["symbol"]: message for message in await slow.everything()}
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
    messages += await slow.everything()
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
    assert len(await subscriber.everything()) == 3


async def test_what_waits_for_its_interval_is_sent_when_the_subscription_ends(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, Policy(max_rate=0.01), buffer_bytes=None)
    await feed.write_and_wait(tick(1) + tick(2) + tick(3))
    assert subscriber.statistics.queued_messages == 1
    assert rig.pump.unsubscribe(subscriber.handle, feed.asset)
    assert [message["price"] for message in await subscriber.everything()] == ["1", "3"]
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
    assert seqs(await subscriber.everything()) == list(range(1, 101))
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
    assert seqs(await subscriber.everything()) == list(range(1, 51))
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
    messages = await subscriber.everything()
    assert seqs(messages) == list(range(1, 51))
    assert messages[-1] == {"type": "goodbye"}


async def test_a_gap_tells_the_least_and_the_greatest_number(rig: Rig) -> None:
    """With a greatest rate what is held is not in order."""
    feed = rig.feed()
    slow = tamed(rig, feed, Policy(policy="skip", max_rate=10), max_bytes=3000)
    await feed.write_and_wait(b"".join(tick(1, symbol, pad=2000) for symbol in "ABCD"))
    await feed.write_and_wait(tick(2, "A", pad=600))
    await feed.write_and_wait(tick(1, "E", pad=600))
    await trio.sleep(0.2)
    await feed.write_and_wait(tick(1, "G", pad=2500))
    for gap in gaps(await slow.everything()):
        assert gap["last_seq"] - gap["first_seq"] >= gap["count"] - 1 >= 0


async def test_data_of_another_type_does_not_overtake_a_tick_of_its_symbol(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = tamed(rig, feed, Policy(max_rate=10), buffer_bytes=None)
    await feed.write_and_wait(tick(1) + tick(2) + b'{"type":"news","symbol":"A","ts":1716230000,"x":1}\n')
    await until(lambda: subscriber.statistics.queued_messages == 0)
    assert seqs(await subscriber.everything()) == [1, 2, 3]
