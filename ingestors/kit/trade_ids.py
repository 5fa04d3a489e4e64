"""Which trades of one product were told already, for venues that repeat themselves."""

from __future__ import annotations

from typing import Final

__all__ = ["TradeIds"]

REMEMBERED: Final = 1024
"""Well above the longest snapshot of past trades known (100), small enough to keep per product."""


class TradeIds:
    """The trade ids of one product that were seen lately.

    Not merely the highest one: venues warn that trades can arrive out of order, and one that comes late was never told.
    """

    __slots__ = ("_recent", "highest")

    def __init__(self) -> None:
        self.highest: int | None = None
        """The highest id seen; None before the first."""
        self._recent: dict[int, None] = {}

    def is_later(self, trade_id: int) -> bool:
        """Whether a repeated trade lies after all that were seen. Never true before the first."""
        return self.highest is not None and trade_id > self.highest

    def add(self, trade_id: int) -> bool:
        """Remember an id; False when it was there already."""
        recent = self._recent
        if trade_id in recent:
            return False
        recent[trade_id] = None
        if len(recent) > REMEMBERED:
            del recent[next(iter(recent))]
        if self.highest is None or trade_id > self.highest:
            self.highest = trade_id
        return True
