"""What one run has told so far. It outlives connections: each has a mapper of its own, all of them share the ledger."""

from __future__ import annotations

from .outputs import Tick
from .tally import Tally
from .trade_ids import TradeIds

__all__ = ["Ledger"]


class Ledger:
    """Counts, trade ids and quotes of a run."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.quotes: dict[str, tuple[Tick, int]] = {}
        """The quote last told of each symbol (by the venue's name), and when its message was received (UTC ns)."""
        self._trade_ids: dict[str, TradeIds] = {}

    def trade_ids(self, raw_symbol: str) -> TradeIds:
        """Those of one symbol, the same for every mapper that asks."""
        return self._trade_ids.setdefault(raw_symbol, TradeIds())
