"""Feed health, from a pump that really reads: what subscribers and the bus are told."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from finstream.pump import Framing, Pump
from finstream.services.bus import Bus
from finstream.services.feed_health import FeedHealth, FeedStatistics
from finstream.services.feed_judgement import Hours
from finstream.vocabulary.events import ArenaRanked, Event, FeedHealthChanged

S = 1_000_000_000


class Status(NamedTuple):
    name: str
    state: str
    since_us: int
    origin: str


class World:
    def __init__(self, pump: Pump, bus: Bus, logger: Any) -> None:
        self.pump = pump
        self.started_ns = time.time_ns()
        self.later_s = 0.0
        self.states = {"feed": "running", "other": "running"}
        self.origin = "live"
        self.hours: Hours = "busy"
        self.health = FeedHealth(
            pump=pump,
            statuses=lambda: [
                Status(name, state, self.started_ns // 1000, self.origin) for name, state in self.states.items()
            ],
            bus=bus,
            logger=logger,
            simulated=True,
            hours=lambda asset: self.hours if asset == "feed" else "busy",
            now_ns=lambda: time.time_ns() + int(self.later_s * S),
        )
        self.assets = {name: pump.add_asset(name) for name in self.states}
        self.pipe = os.pipe()
        self.source = pump.add_source(self.assets["feed"], self.pipe[0], lambda _event: None)
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.outbox = pump.add_outbox(self.writer.fileno(), lambda _event: None, framing=Framing.LINES)
        pump.subscribe(self.outbox, self.assets["feed"], "never named")

    def look(self, later_s: float = 0) -> None:
        self.later_s += later_s
        self.health.look()

    def told(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.reader.recv(1 << 16).splitlines()]
        except BlockingIOError:
            return []

    def close(self) -> None:
        self.pump.remove_source(self.source)
        self.pump.remove_outbox(self.outbox)
        for end in self.pipe:
            os.close(end)
        self.reader.close()
        self.writer.close()


@pytest.fixture
def world(pump: Pump, bus: Bus, logger: Any) -> Iterator[World]:
    world = World(pump, bus, logger)
    yield world
    world.close()


async def test_subscribers_and_the_bus_learn_when_a_feed_falls_silent_and_comes_back(
    world: World, eventually: Any, events: Callable[[], list[Event]]
) -> None:
    world.look()
    assert (world.told(), world.health.message("feed")) == ([], None)
    assert world.health.statistics()["feed"] == FeedStatistics(state="live", cause=None, age_ms=None)
    assert events() == [ArenaRanked(ranking=["feed", "other"], symbols={})]
    world.look(16)
    (message,) = world.told()
    assert message == {"type": "health", "asset": "feed", "state": "stale", "cause": "mute", "simulated": True}
    assert json.loads(world.health.message("feed") or b"") == message
    assert world.health.statistics()["feed"] == FeedStatistics(state="stale", cause="mute", age_ms=None)
    (one, other) = events()
    assert one == FeedHealthChanged(asset="feed", state="stale", previous="live", cause="mute", severity=0, age_ms=None)
    assert isinstance(other, FeedHealthChanged)
    assert (other.asset, other.state) == ("other", "stale")
    world.look(1)
    assert world.told() == events() == [], "once is enough"

    os.write(world.pipe[1], b'{"symbol":"A","price":1,"ts":%d}\n' % (time.time_ns() - S // 100))
    await eventually(lambda: world.pump.asset_statistics(world.assets["feed"]).ticks)
    world.later_s = 0  # the tick is received now
    for _ in range(3):
        world.look(1)
    assert world.told() == []
    world.look(1)
    (message,) = world.told()
    assert (message["state"], message.get("cause")) == ("live", None)
    assert 4_000 <= message["age_ms"] < 8_000
    told = world.health.statistics()["feed"]
    assert (told.state, told.cause) == ("live", None)
    assert 4_000 <= (told.age_ms or 0) < 8_000
    assert world.health.message("feed") is None
    assert [event.state for event in events() if isinstance(event, FeedHealthChanged) and event.asset == "feed"][-1] == "live"


async def test_a_feed_whose_program_fails_is_down(world: World, events: Callable[[], list[Event]]) -> None:
    world.states["feed"] = "backoff"
    world.look()
    assert [(message["state"], message["cause"]) for message in world.told()] == [("down", "not_running")]
    world.states["feed"] = "paused"
    world.look(1)
    assert world.told() == []
    assert world.health.statistics().keys() == {"other"}, "nothing is to be judged"
    assert world.health.message("feed") is None
    del world.states["feed"]
    world.look(100)
    assert world.told() == []


async def test_a_quiet_night_is_no_fault(world: World, events: Callable[[], list[Event]]) -> None:
    world.hours = "closed"
    world.look(10_000)
    assert world.told() == []
    assert world.health.statistics().keys() == {"other"}
    assert {event.asset for event in events() if isinstance(event, FeedHealthChanged)} == {"other"}
    world.hours = "quiet"
    world.look(10_000)
    assert world.told() == []
    world.hours = "busy"
    world.look(1)
    assert [message["state"] for message in world.told()] == ["down"]


async def test_a_recording_is_old_by_nature_but_may_fall_silent(
    world: World, eventually: Any, events: Callable[[], list[Event]]
) -> None:
    world.origin = "replay"
    os.write(world.pipe[1], b'{"symbol":"A","price":1,"ts":%d}\n' % (time.time_ns() - S * 86_400))
    await eventually(lambda: world.pump.asset_statistics(world.assets["feed"]).ticks)
    world.look()
    assert world.told() == []
    assert [event.severity for event in events() if isinstance(event, FeedHealthChanged)] == []
    world.look(20)
    assert [(message["state"], message["cause"]) for message in world.told()] == [("stale", "mute")]
    assert [event.severity for event in events() if isinstance(event, FeedHealthChanged) and event.asset == "feed"] == [3]


async def test_a_steeper_severity_is_an_event_and_no_message(
    world: World, eventually: Any, events: Callable[[], list[Event]]
) -> None:
    os.write(world.pipe[1], b'{"symbol":"A","price":1,"ts":%d}\n' % (time.time_ns() - S * 9 // 2))
    await eventually(lambda: world.pump.asset_statistics(world.assets["feed"]).ticks)
    world.look()
    assert [(message["state"], message["cause"]) for message in world.told()] == [("degraded", "lag")]
    world.look(2)
    world.look(0.1)
    assert world.told() == []
    found = [event for event in events() if isinstance(event, FeedHealthChanged) and event.asset == "feed"]
    assert [(event.severity, event.state, event.previous) for event in found] == [
        (1, "degraded", "live"), (2, "degraded", "degraded"),
    ]  # fmt: skip
