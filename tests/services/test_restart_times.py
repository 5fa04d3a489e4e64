"""Scheduled restarts: the timetable by a clock that a test sets, the rest by Trio's."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import trio
import trio.testing

from finstream.services.new_york import clock_time, instant_us
from finstream.services.restart_times import ENGINE, RestartTimes, Timetable
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import AssetSettings, Settings

S = 1_000_000


def at(wall: str) -> int:
    return instant_us(datetime.datetime.fromisoformat(wall))


def table(now: str, **times: str) -> Timetable:
    made = Timetable()
    made.apply({name: clock_time(time) for name, time in times.items()}, at(now))
    return made


def test_what_is_due_is_taken_once_and_comes_again_the_next_day() -> None:
    it = table("2026-06-01 00:00", a="03:30", b="04:00")
    assert it.next_us() == at("2026-06-01 03:30")
    assert it.take_due(at("2026-06-01 03:30") - 1) == ([], [])
    assert it.take_due(at("2026-06-01 03:30")) == (["a"], [])
    assert it.take_due(at("2026-06-01 03:30")) == ([], [])
    assert it.next_us() == at("2026-06-01 04:00")
    assert it.take_due(at("2026-06-01 04:00")) == (["b"], [])
    assert it.next_us() == at("2026-06-02 03:30")


def test_the_engine_is_the_last_of_those_that_are_due_together() -> None:
    it = table("2026-06-01 00:00", **{ENGINE: "03:30", "a": "03:30", "b": "03:30"})
    due, missed = it.take_due(at("2026-06-01 03:30") + S)
    assert (sorted(due[:2]), due[2:], missed) == (["a", "b"], [ENGINE], [])


@pytest.mark.parametrize(
    ("time", "day_before", "turns"),
    [
        ("02:30", "2026-03-07 12:00", ["2026-03-08 03:30", "2026-03-09 02:30"]),  # skipped that day
        ("01:30", "2026-10-31 12:00", ["2026-11-01 01:30", "2026-11-02 01:30"]),  # twice that day
    ],
)
def test_the_days_on_which_clocks_change(time: str, day_before: str, turns: list[str]) -> None:
    it = table(day_before, a=time)
    found = []
    now = at(day_before)
    while len(found) < len(turns):
        now += 600 * S  # every ten minutes, through the doubled hour too
        if it.take_due(now)[0]:
            found.append(now)
    assert found == [at(turn) for turn in turns]


def test_a_machine_that_slept_through_it_leaves_it_out() -> None:
    it = table("2026-06-01 00:00", a="03:30")
    assert it.take_due(at("2026-06-01 09:31")) == ([], ["a"])
    assert it.next_us() == at("2026-06-02 03:30")


def test_just_restarted_it_is_not_restarted_again_by_a_clock_that_was_set_back() -> None:
    assert table("2026-06-01 03:29:30", a="03:30").next_us() == at("2026-06-02 03:30")


def test_a_clock_that_was_wrong_by_years_is_got_over() -> None:
    it = table("2036-06-01 00:00", a="03:30")
    assert it.take_due(at("2026-06-01 00:00")) == ([], [])
    assert it.next_us() == at("2026-06-01 03:30")


def test_a_reload_moves_only_what_it_changes() -> None:
    it = table("2026-06-01 00:00", a="03:30", b="03:30", c="03:30")
    it.apply({"a": clock_time("03:30"), "b": clock_time("05:00"), "d": clock_time("06:00")}, at("2026-06-01 03:29:50"))
    assert it.take_due(at("2026-06-01 03:30")) == (["a"], []), "it was to be restarted already"
    assert it.take_due(at("2026-06-01 05:00")) == (["b"], [])
    assert it.take_due(at("2026-06-01 06:00")) == (["d"], [])


class Clock:
    """The wall clock that goes with Trio's."""

    def __init__(self, wall: str) -> None:
        self._start_us = at(wall)
        self._start = trio.current_time()
        self.set_us = 0

    def __call__(self) -> int:
        return self._start_us + round((trio.current_time() - self._start) * S) + self.set_us


def settings(engine: str | None = None, **assets: str | None) -> Settings:
    return Settings(
        restart_at=engine, assets={name: AssetSettings(command=["x"], restart_at=time) for name, time in assets.items()}
    )


async def test_assets_and_the_engine_are_restarted_at_their_times(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, logger: Any, log_entries: list[dict[str, Any]]
) -> None:
    clock, done = Clock("2026-03-08 01:00"), []

    async def reboot(origin: str) -> None:
        done.append((origin, clock()))
        if len(done) == 3:
            raise ConfigError("assets", "wrong")

    it = RestartTimes(
        settings("04:00", a="03:30", b=None), restart_asset=lambda name: done.append((name, clock())), reboot=reboot,
        logger=logger, wall_us=clock,
    )
    nursery.start_soon(it.run)
    await trio.sleep(3.5 * 3600)
    assert [(name, when // S) for name, when in done] == [
        ("a", at("2026-03-08 03:30") // S), ("restart_at", at("2026-03-08 04:00") // S),
    ]  # fmt: skip
    it.apply(settings("05:00"))
    await trio.sleep(24 * 3600)
    assert [(name, when // S) for name, when in done[2:]] == [("restart_at", at("2026-03-09 05:00") // S)]
    (refused,) = [entry for entry in log_entries if entry["log_level"] == "error"]
    assert refused["error"] == "assets: wrong"
    await trio.sleep(24 * 3600)
    assert [when // S for _name, when in done[3:]] == [at("2026-03-10 05:00") // S], "refused once, it is tried again"


async def test_a_clock_that_jumps_ahead_is_noticed(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, logger: Any
) -> None:
    clock, done = Clock("2026-06-01 01:00"), []

    async def reboot(_origin: str) -> None:
        raise AssertionError

    it = RestartTimes(settings(a="03:30"), restart_asset=done.append, reboot=reboot, logger=logger, wall_us=clock)
    nursery.start_soon(it.run)
    await trio.sleep(60)
    clock.set_us = 150 * 60 * S
    await trio.sleep(60)
    assert done == ["a"]
