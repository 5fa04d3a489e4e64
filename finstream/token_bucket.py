"""How often something may happen that others cause, and we log."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["TokenBucket"]


class TokenBucket:
    """``rate`` events a second on average, up to ``burst`` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def is_empty(self) -> bool:
        """Whether :meth:`take` would fail now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return self._tokens < 1

    def take(self) -> bool:
        """Take one token, if there is one."""
        if self.is_empty():
            return False
        self._tokens -= 1
        return True
