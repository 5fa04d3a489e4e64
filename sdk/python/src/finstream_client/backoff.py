"""How long to wait before connecting again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Backoff"]

STABLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from ``initial_s`` up to ``max_s``, each drawn at random from its upper half.

    The random part keeps a thousand clients that lost the same engine from coming back in step.
    """

    initial_s: float = 0.5
    max_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.initial_s <= self.max_s:
            raise ValueError(f"0 < initial_s <= max_s does not hold: {self.initial_s}, {self.max_s}")

    def pause_s(self, failures: int, draw: Callable[[], float] = random.random) -> float:
        """The pause after so many failures in a row (1, 2, …); ``draw`` returns a number from 0 to 1."""
        whole = min(self.initial_s * 2.0 ** min(failures - 1, 60), self.max_s)
        return whole * (0.5 + draw() / 2)
