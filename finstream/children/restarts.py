"""When to start a failed child again: pure policy, no clock and no chance of its own.

Back-off: the n-th failure in a row waits for a random time between 0 and ``min(max_s, initial_s * 2**(n-1))`` ("full
jitter": children that fail together do not come back together). A run of at least ``stable_s`` starts the count anew.

Circuit: ``circuit_failures`` failures within ``circuit_window_s`` open it. After ``circuit_cooldown_s`` one attempt is
made: should that fail before ``stable_s``, the circuit is open again at once; should it hold for ``stable_s``, the
circuit is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from finstream.vocabulary.settings import RestartSettings

__all__ = ["Decision", "Restarts"]

_MAX_DOUBLINGS = 62  # beyond this every max_s is reached, and a float is still exact


class Decision(msgspec.Struct, frozen=True):
    """What to do about a failure."""

    wait_s: float
    """Until the next attempt."""
    tripped: bool
    """The circuit is open."""
    failures: int
    """In a row, this one included."""


class Restarts:
    """The failures of one child. ``jitter`` gives numbers from 0 up to, but not including, 1."""

    def __init__(self, settings: RestartSettings, jitter: Callable[[], float]) -> None:
        self.settings = settings
        self._jitter = jitter
        self._in_a_row = 0
        self._recent: deque[float] = deque()
        self._open = False

    def failed(self, now: float, ran_s: float) -> Decision:
        """A run that took ``ran_s`` seconds (0 when it did not even start) failed at ``now``, in seconds of any steady
        clock."""
        limits = self.settings
        if ran_s >= limits.stable_s:
            self.forgive()
        self._in_a_row += 1
        self._recent.append(now)
        while self._recent[0] < now - limits.circuit_window_s:
            self._recent.popleft()
        if self._open or len(self._recent) >= limits.circuit_failures:
            self._open = True
            return Decision(limits.circuit_cooldown_s, tripped=True, failures=self._in_a_row)
        most = min(limits.max_s, limits.initial_s * 2.0 ** min(self._in_a_row - 1, _MAX_DOUBLINGS))
        return Decision(most * self._jitter(), tripped=False, failures=self._in_a_row)

    def forgive(self) -> None:
        """Forget all failures: it ran well, or somebody changed something."""
        self._in_a_row = 0
        self._recent.clear()
        self._open = False
