"""Percentiles of lags that were only counted in buckets: exact to the bucket, half an octave, and even within it by assumption."""

from __future__ import annotations

from finstream.pump import Lags

__all__ = ["percentile_ns"]

_FIRST_NS = 1024
_NEGATIVE, _UNBOUNDED = 0, -1
_LARGEST_NS = 3 << 39
"""From here on there is no upper bound."""


def percentile_ns(lags: Lags, share: float) -> int | None:
    """The lag that ``share`` (0 to 1) of all lags do not exceed; None if there are none."""
    total = sum(count for _, count in lags.buckets)
    wanted = share * total
    for upper_ns, count in lags.buckets:
        if count >= wanted:
            lower_ns = max(_lower_ns(upper_ns, lags.least_ns), lags.least_ns)
            if upper_ns == _UNBOUNDED:
                return lower_ns
            return lower_ns + round((upper_ns - lower_ns) * max(wanted, 0) / count)
        wanted -= count
    return None


def _lower_ns(upper_ns: int, least_ns: int) -> int:
    """Of the bucket with this upper bound."""
    if upper_ns == _NEGATIVE:
        return least_ns
    if upper_ns == _UNBOUNDED:
        return _LARGEST_NS
    if upper_ns == _FIRST_NS:
        return 0
    is_power_of_two = upper_ns & (upper_ns - 1) == 0
    return upper_ns * 3 // 4 if is_power_of_two else upper_ns * 2 // 3
