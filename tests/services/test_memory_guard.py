"""The memory guard, told of marks as the pump tells them: who hears of it, who is let in, what pauses and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from finstream.pump import MemoryMark, Pump
from finstream.services.bus import Bus
from finstream.services.client_classes import ClientClasses
from finstream.services.memory_guard import MemoryGuard
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import Event, MemoryPressure
from finstream.vocabulary.settings import ClientClass, Limits

LIMITS = Limits(memory_soft_bytes=2_000_000, memory_hard_bytes=3_000_000)


class MarkedPump(Pump):
    """Remembers its marks, and tells of one crossed when a test says so."""

    def guard(self, soft_bytes: int, hard_bytes: int, crossed: Callable[[MemoryMark], None]) -> None:
        super().guard(soft_bytes, hard_bytes, crossed)
        self.marks = (soft_bytes, hard_bytes)
        self.crossed = crossed

    def cross(self, level: str) -> None:
        self.crossed(MemoryMark(level, 4_000_000))


class Levels:
    """Assets by priority, as the supervisor would hold them."""

    def __init__(self, *levels: list[str]) -> None:
        self.running = list(levels)
        self.held: list[list[str]] = []

    def hold_lowest(self) -> list[str]:
        if not self.running:
            return []
        self.held.append(self.running.pop(0))
        return self.held[-1]

    def release(self) -> list[str]:
        released = [name for level in self.held for name in level]
        self.running, self.held = [*self.held, *self.running], []
        return released


class World:
    def __init__(self, bus: Bus, logger: Any) -> None:
        self.pump = MarkedPump()
        self.levels = Levels(["a", "b"], ["c"])
        self.guard = MemoryGuard(pump=self.pump, holding=self.levels, bus=bus, logger=logger, limits=LIMITS, step_s=1.0)


@pytest.fixture
async def world(bus: Bus, logger: Any, nursery: trio.Nursery) -> World:
    world = World(bus, logger)
    await nursery.start(world.guard.run)
    return world


async def test_the_pump_is_given_the_marks_of_the_configuration(world: World) -> None:
    assert world.pump.marks == (2_000_000, 3_000_000)
    world.guard.apply(Limits(memory_soft_bytes=1_500_000, memory_hard_bytes=1_600_000))
    assert world.pump.marks == (1_500_000, 1_600_000)


async def test_each_mark_is_told_and_logged(
    world: World, events: Callable[[], list[Event]], log_entries: list[dict[str, Any]]
) -> None:
    for level in ("soft", "normal"):
        world.pump.cross(level)
        assert world.guard.level == level
    assert events() == [MemoryPressure(level=level, held_bytes=4_000_000) for level in ("soft", "normal")]
    said = [(entry["log_level"], entry["memory"], entry["previous"]) for entry in log_entries]
    assert said == [("warning", "soft", "normal"), ("info", "normal", "soft")]


async def test_nobody_new_is_let_in_above_the_hard_mark_only(world: World) -> None:
    for level, lets_in in (("normal", True), ("soft", True), ("hard", False), ("soft", True)):
        world.pump.cross(level)
        if lets_in:
            world.guard.admit()
        else:
            with pytest.raises(RequestError) as refused:
                world.guard.admit()
            assert refused.value.problem == "memory-pressure"
            assert "3000000 bytes" in refused.value.detail


async def test_one_level_of_priority_pauses_a_step_while_it_stays_hard(
    autojump_clock: trio.testing.MockClock, world: World, log_entries: list[dict[str, Any]]
) -> None:
    world.pump.cross("soft")
    await trio.sleep(5)
    assert world.levels.held == []
    world.pump.cross("hard")
    await trio.sleep(0.9)
    assert world.levels.held == [], "giving up outboxes may help"
    await trio.sleep(0.2)
    assert world.levels.held == [["a", "b"]]
    await trio.sleep(1)
    assert world.levels.held == [["a", "b"], ["c"]]
    await trio.sleep(5)  # nothing is left to pause
    world.pump.cross("soft")
    await trio.sleep(5)
    assert world.levels.held == [["a", "b"], ["c"]], "not before it is normal"
    world.pump.cross("normal")
    assert world.levels.held == []
    assert [entry["assets"] for entry in log_entries if "assets" in entry] == [["a", "b"], ["c"], ["a", "b", "c"]]


async def test_a_mark_that_is_left_in_time_pauses_nothing(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    for _ in range(20):
        world.pump.cross("hard")
        await trio.sleep(0.8)
        world.pump.cross("soft")
        await trio.sleep(0.01)
    world.pump.cross("hard")
    world.pump.cross("soft")  # before anybody could act on it
    await trio.sleep(10)
    assert world.levels.held == []
    world.pump.cross("hard")
    await trio.sleep(1.1)
    assert world.levels.held == [["a", "b"]]


async def test_whoever_is_let_go_is_told_of(world: World, events: Callable[[], list[Event]]) -> None:
    world.pump.cross("soft")
    events()
    world.guard.evicted("some-uuid", 77)
    assert events() == [MemoryPressure(level="soft", held_bytes=4_000_000, evicted="some-uuid", freed_bytes=77)]


def test_the_classes_of_clients() -> None:
    classes = ClientClasses({"gold": ClientClass(priority=9)})
    assert [classes.priority(name) for name in ("gold", "standard", "of yesterday")] == [9, 5, 5]
    classes.require("gold")
    classes.require("standard")
    with pytest.raises(RequestError, match=r"'silver'.*there are: standard, gold") as refused:
        classes.require("silver")
    assert (refused.value.problem, refused.value.field) == ("invalid-field", "$.class")
    classes.apply({"standard": ClientClass(priority=1)})
    assert [classes.priority(name) for name in ("gold", "standard")] == [1, 1]
