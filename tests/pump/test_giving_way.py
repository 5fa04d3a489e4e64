"""A batch for hundreds takes a while, and whoever asks for the pump's lock gets it between two sends. Nothing is lost, sent
twice or counted wrongly for what the control plane does at such a moment."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import strategies
import trio
from rig import LITTLE, Feed, Rig, Subscriber, balanced, quote, tick, until

from finstream.pump import Framing, OutboxStatistics
from finstream.vocabulary.policies import Policy

CLIENTS = 300
TURNS = max(10, int(60 * strategies.EFFORT))
ACTS = 120
"""A turn; a batch takes about as long as so many."""
KINDS = ["steady"] * 8 + ["leaver", "leaver", "removed", "removed", "merging", "skipping", "stalled", "hopeless", "gone"]
ENDING = {"leaver", "removed", "merging", "skipping"}
POLICIES = {"merging": Policy(policy="conflate", trades="conflate"), "skipping": Policy(policy="skip")}


@dataclass
class Client:
    kind: str
    subscriber: Subscriber
    controls: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    final: OutboxStatistics | None = None
    bounds: tuple[int, int] | None = None
    """What may have been published of the topics that it has left, as of just before and just after that."""

    @property
    def reads(self) -> bool:
        return self.kind not in ("stalled", "hopeless", "gone") and self.final is None

    def take(self) -> None:
        self.messages += map(json.loads, self.subscriber.take())

    def seqs(self, asset: str) -> list[int]:
        return [message["seq"] for message in self.messages if message.get("asset") == asset and "seq" in message]


class Market:
    def __init__(self, rig: Rig, choose: random.Random) -> None:
        self.rig, self.pump, self.choose = rig, rig.pump, choose
        self.feeds: list[Feed] = [rig.feed("one"), rig.feed("two")]
        self.clients = [self.join(KINDS[number % len(KINDS)]) for number in range(CLIENTS)]
        self.published = {feed.asset: 0 for feed in self.feeds}
        self.in_between = 0
        """How often somebody who keeps up had something waiting: it was collected, but it was not their turn yet."""

    def join(self, kind: str) -> Client:
        subscriber = self.rig.subscriber(
            framing=self.choose.choice(list(Framing)),
            buffer_bytes=LITTLE if kind in ("stalled", "hopeless", *POLICIES) else None,
            max_bytes=20_000 if kind in ("hopeless", "skipping") else 1 << 26,
        )
        for feed in self.feeds:
            self.pump.subscribe(subscriber.handle, feed.asset, None, POLICIES.get(kind, Policy()))
        return Client(kind, subscriber)

    def batch(self) -> bytes:
        lines = [self.choose.choice([tick, quote])(1, self.choose.choice("ABC")) for _ in range(20)]
        return b"".join(lines)

    async def turn(self) -> None:
        """Publish, and act while the pump is at it."""
        for feed in self.feeds:
            await feed.write(self.batch())
            self.published[feed.asset] += 20
        for _ in range(ACTS):
            self.act(self.choose.choice(self.clients))
        for client in self.clients:
            if client.reads:
                client.subscriber.read_now()
        await trio.lowlevel.checkpoint()

    def act(self, client: Client) -> None:
        if client.final is not None:
            return
        handle = client.subscriber.handle
        match self.choose.choice(["push", "look", "look", "look", "look", "end"]):
            case "push":
                message = b'{"control":%d}' % client.controls
                framed = message + b"\n" if client.subscriber.framing is Framing.LINES else b"\x81%c" % len(message) + message
                client.controls += self.pump.push(handle, framed)
            case "look":
                statistics = client.subscriber.statistics
                assert balanced(statistics)
                self.in_between += client.kind == "steady" and statistics.queued_messages > 0
                self.pump.statistics()
            case "end" if self.choose.random() < 0.2:
                self.end(client)

    def end(self, client: Client) -> None:
        handle, asset = client.subscriber.handle, self.feeds[0].asset
        match client.kind:
            case "leaver" | "merging" | "skipping" if client.bounds is None:
                client.bounds = self.around(lambda: self.pump.unsubscribe(handle, asset), asset)
            case "removed":
                client.bounds = self.around(lambda: self.remove(client), *self.published)
            case "gone":
                client.subscriber.socket.close()

    @property
    def ended(self) -> set[str]:
        """The kinds of which one has left a topic, or was removed."""
        return {client.kind for client in self.clients if client.bounds is not None}

    def around(self, act: Callable[[], object], *assets: int) -> tuple[int, int]:
        before = sum(self.pump.asset_statistics(asset).seq for asset in assets)
        assert act()
        return before, sum(self.pump.asset_statistics(asset).seq for asset in assets)

    def remove(self, client: Client) -> bool:
        client.final = client.subscriber.remove()
        return client.final is not None

    async def settle(self) -> None:
        """Wait until all is published and sent, as far as it can be."""
        for feed in self.feeds:
            await until(lambda feed=feed: self.pump.asset_statistics(feed.asset).seq == self.published[feed.asset])  # type: ignore[misc]
        for client in self.clients:
            if client.final is None and client.kind not in ("hopeless", "gone"):
                await until(lambda client=client: client.subscriber.read_now() == b"" == self.waiting(client))  # type: ignore[misc]

    def waiting(self, client: Client) -> bytes:
        return b"x" * client.subscriber.statistics.queued_messages

    async def check(self, client: Client) -> None:
        assert client.final is not None or self.remove(client)
        final = client.final
        assert final is not None
        assert balanced(final)
        total = sum(self.published.values())
        if client.kind in ("hopeless", "gone"):  # whether the pump has noticed depends on what came after
            for closed in client.subscriber.closed:
                assert closed.reason in ("slow_consumer_bytes", "connection_lost")
                assert closed.statistics.delivered == final.delivered
                assert closed.statistics.killed == final.killed
            return
        assert client.subscriber.closed == []
        await client.subscriber.read_to_the_end()
        client.take()
        received = [client.seqs("one"), client.seqs("two")]
        assert len(received[0]) + len(received[1]) == final.delivered
        if client.kind not in POLICIES:
            assert received == [list(range(1, len(seqs) + 1)) for seqs in received]
            assert final.skipped == final.conflated == 0
        controls = [message["control"] for message in client.messages if "control" in message]
        if client.kind == "removed":
            assert controls == list(range(len(controls)))
        else:
            assert controls == list(range(client.controls))
            assert final.killed == 0
            assert sum(message.get("conflated", 0) for message in client.messages) == final.conflated
            assert sum(message["count"] for message in client.messages if message.get("type") == "gap") == final.skipped
        if client.bounds is None:
            assert final.published == total
        else:
            kept = 0 if client.kind == "removed" else self.published[self.feeds[1].asset]
            assert client.bounds[0] <= final.published - kept <= client.bounds[1]


@pytest.mark.parametrize("seed", strategies.seeds(1))
async def test_books_balance_whatever_is_done_between_two_sends_of_a_batch(rig: Rig, seed: int) -> None:
    market = Market(rig, random.Random(seed))
    turns = 0
    while turns < TURNS or market.in_between < 3 or market.ended != ENDING:
        await market.turn()
        turns += 1
        assert turns < 3000, "the lock was never given away during a batch"
    await market.settle()
    for client in market.clients:
        await market.check(client)
    assert rig.pump.statistics().outboxes == 0
    finals = [client.final for client in market.clients if client.final is not None]
    assert rig.pump.statistics().delivered == sum(final.delivered for final in finals)
