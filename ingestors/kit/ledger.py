"""What one run has told so far. It outlives connections: each has a mapper of its own, all of them share the ledger."""

from __future__ import annotations

from .outputs import Tick
from .tally import Tally
from .trade_ids import TradeIds

__all__ = ["Ledger", "prices_of"]


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

    def is_changed(self, quote: Tick) -> bool:
        """Whether a quote that a venue states anew differs from the one last told. Never true before the first."""
        told = self.quotes.get(quote.raw_symbol)
        return told is not None and prices_of(told[0]) != prices_of(quote)


def prices_of(quote: Tick) -> tuple[str | None, ...]:
    return quote.bid_price, quote.bid_volume, quote.ask_price, quote.ask_volume
