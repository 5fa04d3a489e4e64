"""How the sources rank, as the bus is told, from a pump that really reads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from finstream.pump import Pump
from finstream.services.bus import Bus
from finstream.services.rankings import Rankings
from finstream.vocabulary.events import ArenaRanked, Event

S = 1_000_000_000


class World:
    def __init__(self, pump: Pump, bus: Bus, eventually: Any) -> None:
        self.pump = pump
        self.eventually = eventually
        self.rankings = Rankings(pump=pump, bus=bus)
        self.pipes: dict[str, tuple[int, int, int]] = {}
        self.ticks = 0

    async def tick(self, asset: str, symbol: str, *, lag_s: float = 0.001, times: int = 1) -> None:
        if asset not in self.pipes:
            reading, writing = os.pipe()
            source = self.pump.add_source(self.pump.add_asset(asset), reading, lambda _event: None)
            self.pipes[asset] = (source, reading, writing)
        line = b'{"symbol":"%s","price":"1","ts":%d}\n' % (symbol.encode(), time.time_ns() - int(lag_s * S))
        os.write(self.pipes[asset][2], line * times)
        self.ticks += times
        await self.eventually(lambda: sum(entry.ticks for entry in self.pump.arena()) == self.ticks)

    def tell(self) -> None:
        now_ns = time.time_ns()
        self.rankings.tell([entry.asset for entry in self.pump.arena(now_ns)], now_ns)

    def close(self) -> None:
        for source, *ends in self.pipes.values():
            self.pump.remove_source(source)
            for end in ends:
                os.close(end)


@pytest.fixture
def world(pump: Pump, bus: Bus, eventually: Any) -> Iterator[World]:
    world = World(pump, bus, eventually)
    yield world
    world.close()


async def test_every_change_of_the_order_is_told_once(world: World, events: Callable[[], list[Event]]) -> None:
    world.tell()
    assert events() == [], "there is nobody yet"
    await world.tick("slow", "A", lag_s=5)
    await world.tick("fast", "A")
    await world.tick("fast", "B")
    world.tell()
    assert events() == [ArenaRanked(ranking=["fast", "slow"], symbols={"A": ["fast", "slow"]})], "B has one source"
    world.tell()
    assert events() == []
    await world.tick("slow", "B", lag_s=5)
    world.tell()
    assert events() == [ArenaRanked(ranking=["fast", "slow"], symbols={"B": ["fast", "slow"]})]
    await world.tick("slow", "A", times=500)
    await world.tick("fast", "A", lag_s=-1, times=500)
    world.tell()
    assert events() == [ArenaRanked(ranking=["slow", "fast"], symbols={"A": ["slow", "fast"]})], "a clock in error comes last"


async def test_one_that_has_left_is_ranked_no_more(world: World, events: Callable[[], list[Event]]) -> None:
    await world.tick("leaving", "A", lag_s=0.01)
    await world.tick("late", "A", lag_s=3)
    world.tell()
    assert events() == [ArenaRanked(ranking=["leaving", "late"], symbols={"A": ["leaving", "late"]})]
    world.pump.retire_asset(world.pump.asset_handle("leaving") or 0)
    world.tell()
    assert events() == [ArenaRanked(ranking=["late"], symbols={"A": ["late"]})]


async def test_of_very_many_changes_some_come_later(world: World) -> None:
    names = [f"S{number}" for number in range(600)]
    for name in names:
        for asset in ("a", "b"):
            await world.tick(asset, name)
    told = [world.pump.new_rankings(256) for _ in range(4)]
    assert [len(found) for found in told] == [256, 256, 88, 0]
    assert sorted(name for found in told for name in found) == sorted(names)
