"""The offsets of New York's time from UTC, as the native pump needs them for stamps without an offset."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

__all__ = ["NEW_YORK_OFFSETS"]


def _new_york_offsets(first_year: int = 1970, last_year: int = 2200) -> list[tuple[int, int]]:
    """UTC times (s) at which New York's offset changes, each with the offset (s) from then on; the first entry is the start."""
    zone = ZoneInfo("America/New_York")
    utc = datetime.UTC

    def offset(when: int) -> int:
        delta = datetime.datetime.fromtimestamp(when, utc).astimezone(zone).utcoffset()
        assert delta is not None
        return int(delta.total_seconds())

    step = 14 * 86400
    start = int(datetime.datetime(first_year, 1, 1, tzinfo=utc).timestamp())
    end = int(datetime.datetime(last_year, 1, 1, tzinfo=utc).timestamp())
    changes = [(start, offset(start))]
    for low in range(start, end, step):
        before, high = changes[-1][1], low + step
        if offset(high) == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == before else (low, middle)
        changes.append((high, offset(high)))
    return changes


NEW_YORK_OFFSETS = _new_york_offsets()
