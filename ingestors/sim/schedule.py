"""When to print how many ticks, and when to fail: a policy that takes clock readings and returns decisions.

Ticks that a fault or a full pipe held up are not made up for: a venue that was stalled goes on with what is new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["Faults", "Schedule", "Step"]

_MOST_ARREARS_S: Final = 0.25
"""What a scheduling hiccup may delay; more than that was a blocked pipe."""
_FINEST_WAIT_S: Final = 0.001
"""At higher rates, ticks go in batches of this rhythm."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Faults by the clock, in seconds from the start. None and zero: never."""

    stall_every_s: float | None = None
    stall_for_s: float = 5.0
    crash_after_s: float | None = None
    burst_every_s: float | None = None
    burst_size: int = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now, and how long to wait before asking again."""

    ticks: int
    wait_s: float
    crash: bool = False


class Schedule:
    """All times are readings of one monotonic clock, in seconds."""

    def __init__(self, rate: float, faults: Faults, now_s: float) -> None:
        self._rate = rate
        self._faults = faults
        self._due_s = now_s
        self._owed_burst = 0
        self._stalled_until_s = -math.inf
        self._next_stall_s = now_s + (faults.stall_every_s or math.inf)
        self._next_burst_s = now_s + (faults.burst_every_s or math.inf)
        self._crash_s = math.inf if faults.crash_after_s is None else now_s + faults.crash_after_s

    def set_rate(self, rate: float, now_s: float) -> None:
        self._rate = rate
        self._due_s = now_s

    def stall(self, seconds: float, now_s: float) -> None:
        self._stalled_until_s = max(self._stalled_until_s, now_s + seconds)

    def burst(self, ticks: int) -> None:
        self._owed_burst += ticks

    def step(self, now_s: float) -> Step:
        if now_s >= self._crash_s:
            return Step(0, 0.0, crash=True)
        if now_s >= self._next_stall_s:
            self.stall(self._faults.stall_for_s, now_s)
            self._next_stall_s = now_s + self._faults.stall_for_s + (self._faults.stall_every_s or math.inf)
        if now_s >= self._next_burst_s:
            self.burst(self._faults.burst_size)
            self._next_burst_s = now_s + (self._faults.burst_every_s or math.inf)
        if now_s < self._stalled_until_s:
            self._due_s = self._stalled_until_s
            return Step(0, self._wait_s(now_s, self._stalled_until_s))
        ticks, self._owed_burst = self._owed_burst, 0
        if self._rate <= 0:
            return Step(ticks, self._wait_s(now_s, math.inf))
        if now_s - self._due_s > _MOST_ARREARS_S:
            self._due_s = now_s
        if now_s >= self._due_s:
            regular = 1 + int((now_s - self._due_s) * self._rate)
            self._due_s += regular / self._rate
            ticks += regular
        return Step(ticks, self._wait_s(now_s, max(self._due_s, now_s + _FINEST_WAIT_S)))

    def _wait_s(self, now_s: float, until_s: float) -> float:
        nearest_s = min(until_s, self._next_stall_s, self._next_burst_s, self._crash_s)
        return max(0.0, nearest_s - now_s)
