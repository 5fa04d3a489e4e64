"""How long to wait before the next attempt: twice as long each time up to a cap, jittered, so that a thousand clients
of an engine that restarts do not come back in one moment. Pure: no clock, its randomness is passed in."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Delays between half of and the whole of ``initial_s · 2ⁿ``, ``max_s`` at most."""

    def __init__(self, *, initial_s: float = 0.25, max_s: float = 15.0, rng: random.Random | None = None) -> None:
        self._initial_s = initial_s
        self._max_s = max_s
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, keeps no secret
        self._attempts = 0

    def next_delay_s(self) -> float:
        # 2.0 ** 1024 would overflow long after the cap is reached.
        ceiling = min(self._max_s, self._initial_s * 2.0 ** min(self._attempts, 60))
        self._attempts += 1
        return ceiling * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """An attempt succeeded: the next delay is the first again."""
        self._attempts = 0
