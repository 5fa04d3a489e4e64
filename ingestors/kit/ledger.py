"""What one run has told so far. It outlives connections: each has a mapper of its own, all of them share the ledger."""

from __future__ import annotations

from typing import Any, Final

from .outputs import Tick
from .tally import Tally
from .trade_ids import TradeIds

__all__ = ["Ledger"]

_RENUMBERED_BELOW: Final = 1_000_000


class Ledger:
    """Counts, trade ids and quotes of a run."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.quotes: dict[str, Tick] = {}
        """The quote last told of each symbol, by the venue's name."""
        self.notes: dict[str, Any] = {}
        """What else a venue's mapper must know of a symbol over all connections, by the venue's name."""
        self._quote_numbers: dict[str, int] = {}
        self._trade_ids: dict[str, TradeIds] = {}

    def trade_ids(self, raw_symbol: str) -> TradeIds:
        """Those of one symbol, the same for every mapper that asks."""
        return self._trade_ids.setdefault(raw_symbol, TradeIds())

    def admit_quote(self, raw_symbol: str, number: int) -> bool:
        """Whether a quote is news, where the venue numbers them in order; if so it counts as told. What lies far below the
        last number is news too: then the venue has begun anew."""
        last = self._quote_numbers.get(raw_symbol)
        if last is not None and 0 <= last - number < _RENUMBERED_BELOW:
            self.tally.ignored["quotes told before"] += 1
            return False
        self._quote_numbers[raw_symbol] = number
        return True

    def is_changed(self, quote: Tick) -> bool:
        """Whether a quote that a venue states anew differs from the one last told. Never true before the first."""
        told = self.quotes.get(quote.raw_symbol)
        return told is not None and _prices_of(told) != _prices_of(quote)

    def is_superseded(self, quote: Tick) -> bool:
        """Whether a quote of another connection is no later than the one last told, or the same."""
        told = self.quotes.get(quote.raw_symbol)
        if told is None:
            return False
        if told.quote_time == quote.quote_time != "local" and isinstance(told.ts, str) == isinstance(quote.ts, str):
            return not told.ts < quote.ts  # type: ignore[operator]  # both are text, or both are numbers
        return _prices_of(told) == _prices_of(quote)


def _prices_of(quote: Tick) -> tuple[str | None, ...]:
    return quote.bid_price, quote.bid_volume, quote.ask_price, quote.ask_volume
