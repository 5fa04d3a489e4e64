"""Days of trading: what the library says of years whose holidays everybody can look up, and sessions through the year."""

from __future__ import annotations

import datetime
import os
from typing import Any

import msgspec
import pytest

from finstream.services.metronome import ask_library
from finstream.services.trading_days import Exceptions, TradingDays, look_up, years_around

YEARS = [2025, 2026, 2027]


@pytest.fixture(scope="module")
def days() -> TradingDays:
    return TradingDays(look_up(YEARS))


def utc(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    return int(moment.timestamp()) * 1_000_000


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


# As the exchange has published them; the 9th of January 2025 was a day of mourning.
CLOSED = """
    2025-01-01 2025-01-09 2025-01-20 2025-02-17 2025-04-18 2025-05-26 2025-06-19 2025-07-04 2025-09-01 2025-11-27 2025-12-25
    2026-01-01 2026-01-19 2026-02-16 2026-04-03 2026-05-25 2026-06-19 2026-07-03 2026-09-07 2026-11-26 2026-12-25
    2027-01-01 2027-01-18 2027-02-15 2027-03-26 2027-05-31 2027-06-18 2027-07-05 2027-09-06 2027-11-25 2027-12-24
"""
HALF = "2025-07-03 2025-11-28 2025-12-24 2026-11-27 2026-12-24 2027-11-26"


def test_the_library_knows_every_holiday_and_half_day_of_three_years(days: TradingDays) -> None:
    first, last = day("2025-01-01"), day("2027-12-31")
    every = [first + datetime.timedelta(days=n) for n in range((last - first).days + 1)]
    weekdays = [each for each in every if each.weekday() < 5]
    assert [each.isoformat() for each in weekdays if days.session(each) is None] == CLOSED.split()
    halves = [each.isoformat() for each in every if (session := days.session(each)) and session.is_half_day]
    assert halves == HALF.split()
    assert all(days.session(each) is None for each in every if each.weekday() >= 5)


@pytest.mark.parametrize(
    ("date", "times"),
    [
        ("2026-03-06", "09:00 14:30 21:00 01:00"),  # the last Friday of winter time
        ("2026-03-09", "08:00 13:30 20:00 00:00"),  # the first Monday of summer time
        ("2026-10-30", "08:00 13:30 20:00 00:00"),
        ("2026-11-02", "09:00 14:30 21:00 01:00"),
        ("2026-11-27", "09:00 14:30 18:00 22:00"),  # a half day
        ("2025-07-03", "08:00 13:30 17:00 21:00"),
    ],
)
def test_the_times_of_a_session_in_utc(days: TradingDays, date: str, times: str) -> None:
    session = days.session(day(date))
    assert session is not None
    told = [datetime.datetime.fromtimestamp(at / 1e6, datetime.UTC) for at, _phase in session.changes()]
    assert " ".join(f"{each:%H:%M}" for each in told) == times
    assert told == sorted(told)
    assert told[0].date() == day(date)
    assert [phase for _at, phase in session.changes()] == ["pre-market", "open", "after-hours", "closed"]


def test_a_holiday_has_a_name(days: TradingDays) -> None:
    assert days.holiday(day("2026-11-26")) == "Thanksgiving Day"
    assert days.holiday(day("2026-11-25")) is None


def test_without_exceptions_only_weekends_are_closed() -> None:
    days = TradingDays()
    assert days.session(day("2026-11-26")) is not None
    assert days.session(day("2026-11-28")) is None
    assert not days.covers(2026)


def test_the_years_that_are_asked_for() -> None:
    assert years_around(utc("2027-01-01 04:59")) == [2025, 2026, 2027, 2028, 2029]  # it is still 2026 there
    assert years_around(utc("2027-01-01 05:00"))[1] == 2027


async def test_the_process_that_asks_the_library_says_the_same() -> None:
    assert await ask_library(YEARS) == look_up(YEARS)


async def test_a_library_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "holidays.py").write_text("raise ImportError('broken')")
    with pytest.raises(OSError, match=r"exit code 1: .*broken"):
        await ask_library(YEARS)


async def test_what_lies_in_the_working_directory_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "holidays.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert (await ask_library([2026])).years == [2026]


def test_exceptions_survive_their_way_through_json() -> None:
    told = look_up([2026])
    assert msgspec.json.decode(msgspec.json.encode(told), type=Exceptions) == told
