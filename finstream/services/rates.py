"""Counters that only grow, as rates: by how much each has grown since the round before."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Rates"]


class Rates:
    """One round after the other: :meth:`begin`, then :meth:`per_s` once for each counter. What a round does not ask for is
    forgotten."""

    def __init__(self) -> None:
        self._before: dict[Hashable, int] = {}
        self._now: dict[Hashable, int] = {}
        self._began_at: float | None = None
        self.interval_s = 0.0
        """Between this round and the one before; 0 in the first."""

    def begin(self, now_s: float) -> None:
        self._before, self._now = self._now, {}
        self.interval_s = 0.0 if self._began_at is None else now_s - self._began_at
        self._began_at = now_s

    def per_s(self, key: Hashable, count: int) -> float:
        """0 for a counter that was not there before, and one that was set back."""
        self._now[key] = count
        before = self._before.get(key, count)
        return round(max(0, count - before) / self.interval_s, 3) if self.interval_s > 0 else 0.0
