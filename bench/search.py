"""The search for the highest rate that a system sustains: pure policy, it is told how attempts went."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Attempt", "RateSearch"]


class Attempt(NamedTuple):
    rate: float
    """Ticks per second."""
    thorough: bool
    """Whether to take the full time. Only a thorough attempt can be the answer."""


class RateSearch:
    """Ramp up by ``factor`` in short attempts until a rate fails, then bisect by ratio in thorough ones, after one at the
    highest rate that held for a short time.

    ``precision`` 0.05 leaves at most 5 % between the highest rate seen to be sustained and the lowest seen to fail. A
    first rate that fails is divided by ``factor`` until one holds, or until it would fall below one tick per second. From
    then on a rate must fail twice: one hiccup of the machine would else hide all that lies above.
    """

    def __init__(self, first: float, *, factor: float = 4.0, precision: float = 0.05, most_attempts: int = 24) -> None:
        self._first = first
        self._factor = factor
        self._precision = precision
        self._left = most_attempts
        self._sustained: Attempt | None = None
        self._failed: float | None = None
        self._doubted: Attempt | None = None
        """It failed once."""
        self.best: float | None = None
        """The highest rate that a thorough attempt sustained."""

    def next(self) -> Attempt | None:
        """What to try now; None when the search is over."""
        if self._left <= 0:
            return None
        if self._doubted is not None:
            return self._doubted
        if self._sustained is None:
            rate = self._first if self._failed is None else self._failed / self._factor
            return Attempt(rate, thorough=False) if rate >= 1 else None
        if self._failed is None:
            return Attempt(self._sustained.rate * self._factor, thorough=False)
        if not self._sustained.thorough:
            return Attempt(self._sustained.rate, thorough=True)
        if self._failed / self._sustained.rate > 1 + self._precision:
            return Attempt((self._failed * self._sustained.rate) ** 0.5, thorough=True)
        return None

    def tell(self, attempt: Attempt, sustained: bool) -> None:
        """How the attempt went that :meth:`next` asked for."""
        self._left -= 1
        if not sustained and self._sustained is not None and self._doubted is None:
            self._doubted = attempt
            return
        self._doubted = None
        if sustained:
            self._sustained = attempt
            if attempt.thorough:
                self.best = max(self.best or 0.0, attempt.rate)
            return
        self._failed = attempt.rate
        if self._sustained is not None and self._sustained.rate >= attempt.rate:
            # What held for a short time did not hold for long: below it nothing is known but the best so far.
            known = self.best is not None and self.best < attempt.rate
            self._sustained = Attempt(self.best or 0.0, thorough=True) if known else None
            self._factor = max(1.25, self._factor**0.5)
