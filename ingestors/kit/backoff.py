"""When to try a venue again: capped exponential back-off with full jitter, as a policy without a clock."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Each failure in a row doubles the bound; the delay is drawn evenly below it, so that clients fall out of step."""

    def __init__(
        self,
        *,
        initial_s: float = 0.5,
        cap_s: float = 30.0,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._initial_s = initial_s
        self._cap_s = cap_s
        self._draw = draw
        self._attempts = 0

    def succeeded(self) -> None:
        """The last connection was a good one: begin anew."""
        self._attempts = 0

    def next_delay_s(self, *, is_planned: bool = False) -> float:
        """The pause before the next attempt. A planned reconnect needs none, but only the first in a row."""
        bound_s = min(self._cap_s, self._initial_s * 2.0 ** min(self._attempts, 30))
        is_first = self._attempts == 0
        self._attempts += 1
        return 0.0 if is_planned and is_first else self._draw(0.0, bound_s)
