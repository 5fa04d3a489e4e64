"""The reading side of load/histogram.h: log-linear buckets of nanoseconds, 64 to each power of two.

Values below 128 ns are exact; above, a bucket is at most 1/64 (1.6 %) of its value wide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

__all__ = ["Histogram", "bucket_bounds", "bucket_of", "merge"]

_BITS = 6


def bucket_of(value_ns: int) -> int:
    shift = max(0, value_ns.bit_length() - 1 - _BITS)
    return (shift << _BITS) + (value_ns >> shift)


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """The least and the greatest value (both inclusive) of a bucket."""
    if bucket < 2 << _BITS:
        return bucket, bucket
    shift = (bucket >> _BITS) - 1
    least = (bucket - (shift << _BITS)) << shift
    return least, least + (1 << shift) - 1


class Histogram(msgspec.Struct, frozen=True):
    count: int = 0
    negative: int = 0
    """Values below zero, which means that clocks disagree; recorded as zero."""
    min_ns: int = 0
    max_ns: int = 0
    buckets: list[tuple[int, int]] = []
    """Bucket and count, ascending; empty buckets are left out."""

    def percentile(self, percent: float) -> float:
        """The value (ns) that at least ``percent`` of all are not above, as the greatest of its bucket: never
        flattering."""
        if not self.count:
            return float("nan")
        wanted = max(1, -(-self.count * percent // 100))
        for bucket, seen in self._cumulative():
            if seen >= wanted:
                return min(bucket_bounds(bucket)[1], self.max_ns)
        return self.max_ns

    def curve(self) -> list[tuple[float, int]]:
        """For each bucket with values: which percentage lies below it, and its greatest value (ns)."""
        points, before = [], 0
        for bucket, seen in self._cumulative():
            points.append((100.0 * before / self.count, min(bucket_bounds(bucket)[1], self.max_ns)))
            before = seen
        return points

    def _cumulative(self) -> Iterator[tuple[int, int]]:
        seen = 0
        for bucket, count in self.buckets:
            seen += count
            yield bucket, seen


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """All values of all of them together."""
    filled = [h for h in histograms if h.count]
    if not filled:
        return Histogram()
    buckets: Counter[int] = Counter()
    for histogram in filled:
        buckets.update(dict(histogram.buckets))
    return Histogram(
        count=sum(h.count for h in filled),
        negative=sum(h.negative for h in filled),
        min_ns=min(h.min_ns for h in filled),
        max_ns=max(h.max_ns for h in filled),
        buckets=sorted(buckets.items()),
    )
