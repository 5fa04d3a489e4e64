"""For every subscriber, always: published = delivered + queued + killed; and what counts as delivered does arrive.

Random stalls, reads, subscriptions, control messages, departures and kills, of many subscribers at once; the same again
for any seed.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import strategies
import trio
from rig import Feed, Rig, Subscriber, balanced, tick, until

from finstream.pump import Framing, OutboxStatistics

TURNS = 150


@dataclass
class Client:
    """A subscriber, and what this test knows of it without asking the pump."""

    subscriber: Subscriber
    topics: set[tuple[int, str | None]] = field(default_factory=set)
    expected: list[tuple[str, int]] = field(default_factory=list)
    """Asset and seq of everything that was published on its topics while it had them."""
    controls: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)

    def take(self) -> None:
        self.messages += map(json.loads, self.subscriber.take())

    def received(self) -> list[tuple[str, int]]:
        return [(message["asset"], message["seq"]) for message in self.messages if "seq" in message]


class Market:
    """Feeds that publish, and clients that behave at random."""

    def __init__(self, rig: Rig, choose: random.Random) -> None:
        self.rig, self.pump, self.choose = rig, rig.pump, choose
        self.feeds: list[Feed] = [rig.feed(f"feed-{number}") for number in range(3)]
        self.seqs = {feed.asset: 0 for feed in self.feeds}
        self.clients: list[Client] = []
        self.probes = 0
        self.finals: list[OutboxStatistics] = []
        """Of the clients that are gone."""
        self.endings: set[str] = set()

    def join(self) -> None:
        subscriber = self.rig.subscriber(
            framing=self.choose.choice(list(Framing)),
            buffer_bytes=self.choose.choice([None, 4096, 16384]),
            max_bytes=self.choose.choice([20_000, 200_000, 1 << 26]),
            max_age_ms=self.choose.choice([15, 60_000]),
        )
        client = Client(subscriber)
        self.clients.append(client)
        for _ in range(self.choose.randint(1, 4)):
            self.toggle(client)

    def toggle(self, client: Client) -> None:
        topic = self.choose.choice(self.feeds).asset, self.choose.choice([None, "A", "B", "C"])
        handle = client.subscriber.handle
        done = self.pump.unsubscribe(handle, *topic) if topic in client.topics else self.pump.subscribe(handle, *topic)
        if done:
            client.topics ^= {topic}

    async def publish(self) -> None:
        feed = self.choose.choice(self.feeds)
        name = self.pump.asset_name(feed.asset)
        lines = []
        for _ in range(self.choose.choice([1, 5, 100])):
            symbol = self.choose.choice("ABC")
            lines.append(tick(1, symbol, pad=self.choose.choice([0, 50, 2000])))
            self.seqs[feed.asset] += 1
            for client in self.clients:
                if client.topics & {(feed.asset, None), (feed.asset, symbol)}:
                    client.expected.append((name, self.seqs[feed.asset]))
            if self.choose.random() < 0.1:
                lines.append(b"garbage\n")
        await feed.write_and_wait(b"".join(lines))

    async def act(self, client: Client) -> None:
        subscriber = client.subscriber
        acts = ["read", "read", "drain", "stall", "stall", "toggle", "push", "broadcast", "leave", "age"]
        match self.choose.choice(acts):
            case "read":
                subscriber.read_now(self.choose.choice([1, 100, 5000]))
            case "drain":
                while subscriber.read_now():
                    await trio.lowlevel.checkpoint()
            case "toggle":
                self.toggle(client)
            case "push":
                message = b'{"control":%d}' % client.controls
                framed = message + b"\n" if subscriber.framing is Framing.LINES else b"\x81%c" % len(message) + message
                client.controls += self.pump.push(subscriber.handle, framed)
            case "broadcast":
                self.pump.broadcast(self.choose.choice(self.feeds).asset, b'{"type":"asset"}')
            case "leave" if self.choose.random() < 0.3:
                await self.leave(client, departed=self.choose.random() < 0.3)
            case "age":
                await trio.sleep(0.001)
        client.take()

    def is_alive(self, client: Client) -> bool:
        """Asked of the pump itself: the news of a kill takes a moment."""
        self.probes += 1
        return self.pump.subscribe(client.subscriber.handle, self.feeds[0].asset, f"probe {self.probes}")

    async def leave(self, client: Client, *, departed: bool = False) -> None:
        self.clients.remove(client)
        subscriber = client.subscriber
        if departed:
            subscriber.socket.close()
            await self.publish()
        killed_by_pump = not self.is_alive(client)
        if killed_by_pump:
            await until(lambda: subscriber.closed)
        final = subscriber.remove()
        assert final is not None
        check(final)
        assert final.queued_messages == 0
        self.finals.append(final)
        if killed_by_pump:
            assert subscriber.closed[0].statistics == final
            self.endings.add(subscriber.closed[0].reason)
        else:
            self.endings.add("waiting" if final.killed else "empty")
        if departed:
            return
        await subscriber.read_to_the_end()
        client.take()
        received = client.received()
        assert len(received) == final.delivered
        if received:
            assert final.last_asset is not None
            assert (self.pump.asset_name(final.last_asset), final.last_seq) == received[-1]
        self.check_order(client)
        assert final.published <= len(client.expected)
        if not killed_by_pump:
            assert final.published == len(client.expected)

    def check_order(self, client: Client) -> None:
        """Each asset's messages without a gap, from the first on; and control messages in their order."""
        received = client.received()
        for feed in self.feeds:
            name = self.pump.asset_name(feed.asset)
            own = [seq for asset, seq in received if asset == name]
            assert own == [seq for asset, seq in client.expected if asset == name][: len(own)]
        controls = [message["control"] for message in client.messages if "control" in message]
        assert controls == list(range(len(controls)))


def check(statistics: OutboxStatistics) -> None:
    assert balanced(statistics)
    assert min(statistics.published, statistics.delivered, statistics.queued_messages, statistics.killed) >= 0
    assert (statistics.queued_bytes == 0) <= (statistics.queued_messages == 0)


@pytest.mark.parametrize("seed", strategies.seeds(10))
async def test_books_balance(rig: Rig, seed: int) -> None:
    choose = random.Random(seed)
    market = Market(rig, choose)
    for _ in range(12):
        market.join()
    for _ in range(TURNS):
        await market.publish()
        for client in choose.sample(market.clients, min(4, len(market.clients))):
            await market.act(client)
        for client in market.clients:
            check(client.subscriber.statistics)
        if len(market.clients) < 8:
            market.join()
    for client in [*market.clients]:
        if market.is_alive(client):
            await drain(client)
        await market.leave(client)
    assert rig.pump.statistics().outboxes == 0
    # The pump's own count is that of all outboxes, those that are gone included.
    assert rig.pump.statistics().delivered == sum(final.delivered for final in market.finals)
    assert "slow_consumer_bytes" in market.endings


async def drain(client: Client) -> None:
    """Read until nothing waits; then everything that was published has arrived, unless it was killed meanwhile."""
    subscriber = client.subscriber
    while subscriber.statistics.queued_bytes:
        await subscriber.read_some()
        client.take()
    while subscriber.read_now():
        client.take()
    statistics = subscriber.statistics
    check(statistics)
    assert statistics.published == len(client.expected)
    assert statistics.delivered == len(client.received())
    if not statistics.killed:
        assert statistics.delivered == statistics.published


@pytest.mark.parametrize("framing", Framing)
async def test_a_reader_at_any_pace_gets_exactly_what_was_delivered(rig: Rig, framing: Framing) -> None:
    """One subscriber, observed after every byte that it reads."""
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), framing=framing, buffer_bytes=4096)
    await feed.write_and_wait(b"".join(tick(number, pad=number * 37 % 400) for number in range(1, 301)))
    got = 0
    choose = random.Random(5)
    while got < 300:
        before = subscriber.statistics.delivered
        subscriber.read_now(choose.choice([1, 2, 3, 50, 700]))
        got += len(subscriber.take())
        after = subscriber.statistics
        check(after)
        assert before <= after.delivered
        assert got <= after.delivered
        await trio.lowlevel.checkpoint()
    assert subscriber.statistics.delivered == 300
