"""Venue times as UTC nanoseconds, for pacing only: what a tick carries is the venue's own text."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from typing import Final

__all__ = ["epoch_ns", "iso_ns", "seconds_text_ns"]

_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_UNITS_NS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))


def epoch_ns(value: int) -> int:
    """An epoch in seconds, milliseconds, microseconds or nanoseconds, told apart by its magnitude."""
    for below, unit_ns in _UNITS_NS:
        if value < below:
            return value * unit_ns
    return value


def seconds_text_ns(text: str) -> int:
    """A receive time as recorders write it: nanoseconds, or seconds with a fraction. Exact to the nanosecond.

    Raises:
        ValueError: It is neither.
    """
    whole, _, fraction = text.partition(".")
    if not fraction:
        return epoch_ns(int(whole))
    return int(whole) * 10**9 + int(fraction[:9].ljust(9, "0"))


def iso_ns(text: str) -> int | None:
    """ISO 8601 with an offset, up to nanoseconds; None for anything else and before 1970 (some venues send year 1)."""
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    stamp, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    if offset != "Z":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        shift = timedelta(hours=hours, minutes=minutes)
        moment = moment + shift if offset[0] == "-" else moment - shift
    seconds = calendar.timegm(moment.timetuple())
    if seconds < 0:
        return None
    return seconds * 10**9 + int((fraction or "")[:9].ljust(9, "0"))
