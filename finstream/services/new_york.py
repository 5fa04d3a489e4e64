"""Wall-clock time in New York, whatever zone this machine is in.

Instants are integer microseconds since the epoch, UTC. What a clock on a wall there shows is ambiguous twice a year: an hour
that is skipped in spring, one that comes twice in autumn. One rule settles both (PEP 495, ``fold=0``): a time that is skipped
counts as the same distance behind the jump (02:30 is then 03:30), of one that comes twice the first counts.
"""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

__all__ = ["clock_time", "instant_us", "local", "next_time_of_day_us"]

_ZONE = ZoneInfo("America/New_York")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_DAY = datetime.timedelta(days=1)


def local(at_us: int) -> datetime.datetime:
    """The wall clock there at an instant, aware of its offset."""
    return (_EPOCH + at_us * _MICROSECOND).astimezone(_ZONE)


def instant_us(wall: datetime.datetime) -> int:
    """The instant at which a wall clock there shows ``wall``, a naive date and time."""
    return (wall.replace(tzinfo=_ZONE, fold=0).astimezone(datetime.UTC) - _EPOCH) // _MICROSECOND


def clock_time(text: str) -> datetime.time:
    """``HH:MM``, from 00:00 to 23:59.

    Raises:
      ValueError: it is not that.
    """
    hour, colon, minute = text.partition(":")
    if not (colon and text.isascii() and len(hour) == len(minute) == 2 and (hour + minute).isdigit()):
        raise ValueError(f"{text!r} is not HH:MM")
    return datetime.time(int(hour), int(minute))


def next_time_of_day_us(time: datetime.time, after_us: int) -> int:
    """The next instant after ``after_us`` at which it is ``time`` in New York: exactly one for each day there."""
    day = local(after_us).date()
    while (found := instant_us(datetime.datetime.combine(day, time))) <= after_us:
        day += _DAY
    return found
