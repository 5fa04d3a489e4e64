"""Which trades of one product were told already, for venues that repeat themselves and for connections that overlap."""

from __future__ import annotations

from typing import Final

__all__ = ["TradeIds"]

REMEMBERED: Final = 1024
"""Well above the longest snapshot of past trades known (100), small enough to keep per product."""


class TradeIds:
    """The trade ids of one product that were seen lately.

    Not merely the highest one: venues warn that trades can arrive out of order, and one that comes late was never told.
    What lies before all that is remembered counts as told: no trade comes that late, but a connection that repeats what
    another one said goes back that far.
    """

    __slots__ = ("_forgotten", "_recent", "first", "highest", "skipped")

    def __init__(self) -> None:
        self.first: int | None = None
        self.highest: int | None = None
        """The highest id seen; None before the first."""
        self.skipped = 0
        """How many ids the one added last left out after the highest before it; -1 when it was one of those left out."""
        self._recent: dict[int, None] = {}
        self._forgotten: int | None = None

    def is_later(self, trade_id: int) -> bool:
        """Whether a repeated trade lies after all that were seen. Never true before the first."""
        return self.highest is not None and trade_id > self.highest

    def add(self, trade_id: int) -> bool:
        """Remember an id; False when it was told before."""
        recent = self._recent
        if trade_id in recent:
            return False
        if self._forgotten is not None and trade_id <= self._forgotten:
            return False
        recent[trade_id] = None
        if len(recent) > REMEMBERED:
            self._forget_oldest()
        highest = self.highest
        if highest is None:
            self.first = self.highest = trade_id
            self.skipped = 0
        elif trade_id > highest:
            self.skipped = trade_id - highest - 1
            self.highest = trade_id
        else:
            self.skipped = -1 if self.first is not None and trade_id > self.first else 0
        return True

    def _forget_oldest(self) -> None:
        oldest = next(iter(self._recent))
        del self._recent[oldest]
        if oldest < next(iter(self._recent)):  # not where trades came in disorder
            self._forgotten = oldest
