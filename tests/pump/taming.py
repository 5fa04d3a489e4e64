"""Subscriptions with a policy, for their tests."""

from __future__ import annotations

from typing import Any

from rig import LITTLE, Feed, Rig, Subscriber

from finstream.vocabulary.policies import Policy

SKIP = Policy(policy="skip")
CONFLATE = Policy(policy="conflate")
MERGE_ALL = Policy(policy="conflate", trades="conflate")
BOUND = 20_000


def tamed(rig: Rig, feed: Feed, policy: Policy, symbol: str | None = None, **how: Any) -> Subscriber:
    subscriber = rig.subscriber(**{"buffer_bytes": LITTLE, "max_bytes": BOUND, **how})
    assert rig.pump.subscribe(subscriber.handle, feed.asset, symbol, policy)
    return subscriber


def gaps(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == "gap"]


def seqs(messages: list[dict[str, Any]]) -> list[int]:
    return [message["seq"] for message in messages if "seq" in message]
