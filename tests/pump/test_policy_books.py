"""Whatever the policies and whatever changes, each message published is in exactly one place on the books."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
import strategies
import trio
from rig import Rig, Subscriber, balanced, quote, tick
from taming import CONFLATE, MERGE_ALL, SKIP, gaps

from finstream.pump import Framing
from finstream.vocabulary.policies import Policy


@pytest.mark.parametrize("seed", strategies.seeds(10))
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
