"""When to try a venue again, as a policy without a clock: capped exponential back-off with full jitter, and a circuit."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Each failure in a row doubles the bound; the delay is drawn evenly below it, so that clients fall out of step.

    After ``circuit_after`` failures in a row the circuit is open: one attempt after each rest of ``circuit_s`` to one and a
    half times that, until one succeeds. Venues ban addresses that knock all the time.
    """

    def __init__(
        self,
        *,
        initial_s: float = 0.5,
        cap_s: float = 30.0,
        circuit_after: int | None = None,
        circuit_s: float = 120.0,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._initial_s = initial_s
        self._cap_s = cap_s
        self._circuit_after = circuit_after
        self._circuit_s = circuit_s
        self._draw = draw
        self.attempts = 0
        """Failures in a row."""

    @property
    def is_circuit_open(self) -> bool:
        return self._circuit_after is not None and self.attempts >= self._circuit_after

    def succeeded(self) -> None:
        """The last connection was a good one: begin anew."""
        self.attempts = 0

    def next_delay_s(self, *, is_planned: bool = False) -> float:
        """The pause before the next attempt. A planned reconnect needs none, but only the first in a row."""
        bound_s = min(self._cap_s, self._initial_s * 2.0 ** min(self.attempts, 30))
        is_first = self.attempts == 0
        self.attempts += 1
        if self.is_circuit_open:
            return self._draw(self._circuit_s, self._circuit_s * 1.5)
        return 0.0 if is_planned and is_first else self._draw(0.0, bound_s)
