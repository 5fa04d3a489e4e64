"""New York's wall clock against instants that were worked out by hand, on machines in other zones."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

import pytest

from finstream.services.new_york import clock_time, instant_us, local, next_time_of_day_us


@pytest.fixture(params=["UTC", "Asia/Tokyo", "Pacific/Kiritimati", "America/Los_Angeles"], autouse=True)
def machine_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone this machine believes to be in."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> int:
    """Microseconds since the epoch of a time in UTC."""
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    return int(moment.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("instant", "there"),
    [
        ("2026-01-15 14:30", "2026-01-15T09:30:00-05:00"),
        ("2026-07-15 13:30", "2026-07-15T09:30:00-04:00"),
        ("2026-03-08 06:59", "2026-03-08T01:59:00-05:00"),
        ("2026-03-08 07:00", "2026-03-08T03:00:00-04:00"),
        ("2026-11-01 05:59", "2026-11-01T01:59:00-04:00"),
        ("2026-11-01 06:00", "2026-11-01T01:00:00-05:00"),
        ("2027-01-01 04:59", "2026-12-31T23:59:00-05:00"),
    ],
)
def test_the_wall_clock(instant: str, there: str) -> None:
    assert local(utc(instant)).isoformat() == there


@pytest.mark.parametrize(
    ("wall", "instant"),
    [
        ("2026-01-15 09:30", "2026-01-15 14:30"),
        ("2026-07-15 09:30", "2026-07-15 13:30"),
        ("2026-03-08 02:30", "2026-03-08 07:30"),  # skipped: as long after the jump, 03:30 EDT
        ("2026-11-01 01:30", "2026-11-01 05:30"),  # twice: the first, EDT
    ],
)
def test_what_a_wall_clock_means(wall: str, instant: str) -> None:
    assert instant_us(datetime.datetime.fromisoformat(wall)) == utc(instant)


@pytest.mark.parametrize(
    ("at", "after", "expected"),
    [
        ("03:30", "2026-06-01 07:29", "2026-06-01 07:30"),
        ("03:30", "2026-06-01 07:30", "2026-06-02 07:30"),  # strictly after
        ("03:30", "2026-03-07 09:00", "2026-03-08 07:30"),  # a day of 23 hours
        ("03:30", "2026-10-31 08:00", "2026-11-01 08:30"),  # a day of 25
        ("02:30", "2026-03-08 06:00", "2026-03-08 07:30"),  # there is no 02:30 that day
        ("02:30", "2026-03-08 07:30", "2026-03-09 06:30"),
        ("01:30", "2026-11-01 05:00", "2026-11-01 05:30"),  # there are two: the first, and not again
        ("01:30", "2026-11-01 05:30", "2026-11-02 06:30"),
        ("01:30", "2026-11-01 06:00", "2026-11-02 06:30"),
        ("00:00", "2026-12-31 12:00", "2027-01-01 05:00"),
        ("23:59", "2026-03-08 01:00", "2026-03-08 04:59"),
    ],
)
def test_the_next_time_of_day(at: str, after: str, expected: str) -> None:
    assert next_time_of_day_us(clock_time(at), utc(after)) == utc(expected)


@pytest.mark.parametrize("at", ["00:00", "01:30", "02:00", "02:30", "02:59", "03:30", "23:59"])
def test_every_day_has_its_turn_exactly_once(at: str) -> None:
    now = utc("2026-01-01 05:00") - 1
    days = []
    for _ in range(730):
        now = next_time_of_day_us(clock_time(at), now)
        days.append(local(now).date())
    assert days == [datetime.date(2026, 1, 1) + datetime.timedelta(days=n) for n in range(730)]


@pytest.mark.parametrize("text", ["3:30", "0330", "24:00", "03:60", "03:30:00", "", ":", "³3:30", "-1:30", "+3:30"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"HH:MM|must be in"):
        clock_time(text)
