"""The topic of the best source for those who do not keep up: policies, bounds and accounts hold as for any other."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import trio
from rig import LITTLE, Feed, Rig, Subscriber, balanced, quote, tick, until

from finstream.vocabulary.policies import Policy

SYMBOLS = ("A", "B", "C")


class Relay:
    """Two sources, of which one at a time has somebody behind it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.best = rig.pump.add_best("best")
        self.number = 0
        self.runners = {name: rig.feed(name) for name in "ab"}
        self.leader = "a"

    def subscriber(self, policy: Policy, symbol: str | None = None, **how: Any) -> Subscriber:
        subscriber = self.rig.subscriber(**{"buffer_bytes": LITTLE, "max_bytes": 1 << 20, **how})
        assert self.rig.pump.subscribe(subscriber.handle, self.best, symbol, policy)
        return subscriber

    async def change(self) -> None:
        """The leader's program ends; the other's has been started again."""
        leader, self.leader = self.leader, "b" if self.leader == "a" else "a"
        if self.runners[self.leader].read_fd < 0:
            self.runners[self.leader] = self.rig.feed(self.leader)
        await self.runners[leader].end()

    @property
    def running(self) -> Feed:
        return self.runners[self.leader]

    async def tell(self, count: int, *, trades: bool = True, pad: int = 400) -> None:
        for _ in range(count):
            self.number += 1
            line = (tick if trades else quote)(self.number, SYMBOLS[self.number % 3], pad=pad)
            await self.running.write_and_wait(line)
            await trio.lowlevel.checkpoint()


def switches(messages: list[dict[str, Any]]) -> list[str]:
    return [f"{message['symbol']} {message.get('from')}>{message['to']}" for message in messages if message["type"] == "switch"]


async def test_who_skips_is_told_the_gap_and_the_books_balance(rig: Rig) -> None:
    relay = Relay(rig)
    slow = relay.subscriber(Policy(policy="skip"), max_bytes=20_000)
    await relay.tell(100)
    await relay.change()
    await relay.tell(100)
    messages = await slow.everything()
    final = slow.statistics
    assert final.skipped > 50
    assert balanced(final)
    got = [message["seq"] for message in messages if "seq" in message]
    gaps = [message for message in messages if message["type"] == "gap"]
    assert {(gap["topic"], gap["asset"]) for gap in gaps} == {("best", "best")}
    missed = [seq for gap in gaps for seq in range(gap["first_seq"], gap["last_seq"] + 1)]
    assert sorted([*got, *missed]) == list(range(1, 207)), "200 ticks and six switches"
    assert sum(gap["count"] for gap in gaps) == len(missed) == final.skipped
    assert rig.pump.asset_statistics(relay.best).seq == 206


async def test_quotes_merge_and_switches_do_not(rig: Rig) -> None:
    relay = Relay(rig)
    slow = relay.subscriber(Policy(policy="conflate", trades="conflate"))
    for _ in range(6):
        await relay.tell(90, trades=False)
        await relay.change()
    messages = await slow.everything()
    final = slow.statistics
    assert final.conflated > 100
    assert balanced(final)
    told = switches(messages)
    assert [told.count(f"A {change}") for change in ("None>a", "a>b", "b>a")] == [1, 3, 2]
    assert len(told) == 18
    for symbol in SYMBOLS:
        own = [message for message in messages if message["symbol"] == symbol]
        assert [message["seq"] for message in own] == sorted(message["seq"] for message in own)
        via = None
        for message in own:
            if message["type"] == "switch":
                via = message["to"]
            else:
                assert message["via"] == via, "a quote of one source was merged into another's"


async def test_a_switch_does_not_overtake_what_waits_for_its_interval(rig: Rig) -> None:
    relay = Relay(rig)
    rated = relay.subscriber(Policy(max_rate=0.5), "A")
    await relay.tell(9, trades=False, pad=0)
    await relay.change()
    await relay.tell(9, trades=False, pad=0)

    def has_switched() -> bool:
        rated.read_now()
        return b'"to":"b"' in rated.received

    await until(has_switched, "the switch")
    told = [json.loads(message) for message in rated.take()]
    assert [message.get("via") or message["to"] for message in told] == ["a", "a", "a", "b"]
    assert [message["seq"] for message in told] == sorted(message["seq"] for message in told)
    assert balanced(rated.statistics)


@pytest.mark.parametrize("policy", [Policy(), Policy(policy="skip"), Policy(policy="conflate"), Policy(max_rate=0.01)])
async def test_when_memory_is_short_it_counts_as_any_other(rig: Rig, policy: Policy) -> None:
    relay = Relay(rig)
    low, high = relay.subscriber(policy, max_bytes=1 << 26), relay.subscriber(policy, max_bytes=1 << 26)
    for subscriber, priority in (low, 1), (high, 9):
        rig.pump.set_priority(subscriber.handle, priority)
    rig.pump.guard(200_000, 400_000, lambda _mark: None)
    for _ in range(2000):
        await relay.tell(3, pad=1000)
        if relay.number % 60 == 0:
            await relay.change()
        if low.closed or (policy.max_rate and relay.number > 300):
            break
    if policy.max_rate is None:
        assert (await low.closing()).reason == "memory_pressure"
        assert balanced(low.closed[0].statistics)
        assert high.closed == []
    assert balanced(high.statistics)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_readers_do_the_books_balance_and_nothing_comes_twice(rig: Rig, seed: int) -> None:
    chance = random.Random(seed)
    relay = Relay(rig)
    policies = [
        Policy(), Policy(policy="skip"), Policy(policy="conflate"), Policy(policy="conflate", trades="conflate"),
        Policy(policy="skip", max_rate=200), Policy(policy="conflate", max_rate=200),
    ]  # fmt: skip
    readers = [relay.subscriber(policy, chance.choice([None, "A"]), max_bytes=30_000) for policy in policies]
    messages: list[list[dict[str, Any]]] = [[] for _ in readers]
    for _ in range(250):
        await relay.tell(chance.choice([1, 2, 6]), trades=chance.random() < 0.5)
        if chance.random() < 0.03:
            await relay.change()
        number = chance.randrange(len(readers))
        if not readers[number].closed:
            readers[number].read_now()
            messages[number] += map(json.loads, readers[number].take())
        for reader in readers:
            if not reader.closed:
                assert balanced(reader.statistics)
    for reader, got in zip(readers, messages, strict=True):
        if reader.closed:
            assert balanced(reader.closed[0].statistics)
            continue
        got += await reader.everything()
        assert balanced(reader.statistics)
        for symbol in SYMBOLS:
            own = [message for message in got if message.get("symbol") == symbol and "seq" in message]
            assert [message["seq"] for message in own] == sorted({message["seq"] for message in own})
            prices = [int(message["price"]) for message in own if "price" in message]
            assert prices == sorted(set(prices))
