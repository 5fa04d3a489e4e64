"""How long to stay away: pauses that grow until a connection has lasted, unless somebody names one. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from finstream_client.backoff import STABLE_S, Backoff

__all__ = ["Pauses"]

_LONGEST_S: Final = 3600.0
"""Of the pauses that others ask for."""


class Pauses:
    def __init__(self, backoff: Backoff, clock: Callable[[], float]) -> None:
        self._backoff = backoff
        self._clock = clock
        self._failures = 0
        self._connected_at = 0.0

    def connected(self) -> None:
        self._connected_at = self._clock()

    def disconnected(self) -> None:
        """What was connected is so no more."""
        if self._clock() - self._connected_at >= STABLE_S:
            self._failures = 0

    def next_s(self, asked_s: float | None) -> float:
        """After one more failure; ``asked_s`` is what the other side asks for, if it does. Nothing is no pause."""
        self._failures += 1
        return min(asked_s, _LONGEST_S) if asked_s else self._backoff.pause_s(self._failures)
