"""What is known of one symbol at a venue: its names, the best bid and ask last told on this connection, and which of its
trades were told on any. It makes the ticks."""

from __future__ import annotations

from .ledger import Ledger
from .outputs import Output, Tick
from .tally import Tally
from .trade_ids import TradeIds

__all__ = ["Market", "markets"]


class Market:
    """One symbol. Empty text in a quote counts as absent."""

    __slots__ = ("_tally", "ask_price", "ask_volume", "bid_price", "bid_volume", "exchange", "raw_symbol", "symbol", "told")

    def __init__(self, raw_symbol: str, symbol: str, exchange: str, told: TradeIds, tally: Tally) -> None:
        self.raw_symbol = raw_symbol
        self.symbol = symbol
        self.exchange = exchange
        self.told = told
        self._tally = tally
        self.set_quote(None, None, None, None)

    @property
    def has_quote(self) -> bool:
        return self.bid_price is not None or self.ask_price is not None

    def set_quote(
        self, bid_price: str | None, bid_volume: str | None, ask_price: str | None, ask_volume: str | None
    ) -> None:
        self.bid_price: str | None = bid_price or None
        self.bid_volume: str | None = bid_volume or None
        self.ask_price: str | None = ask_price or None
        self.ask_volume: str | None = ask_volume or None

    def admit(self, trade_id: int, outputs: list[Output], *, is_numbered: bool = True) -> bool:
        """Whether a trade is news; if so it counts as told.

        Args:
            trade_id: The venue's, as a number.
            outputs: Takes a line about the trades that are missing before this one.
            is_numbered: The venue's ids rise by one per symbol, so that a hole is a loss.
        """
        told = self.told
        if not told.add(trade_id):
            self._tally.ignored["trades told before"] += 1
            return False
        if is_numbered and told.skipped:
            if told.skipped > 0:
                outputs.append(self._tally.count_gap(told.skipped, f"trade {trade_id} of {self.raw_symbol}"))
            else:
                self._tally.lost -= 1  # it comes late, but it comes
        return True

    def trade(
        self,
        *,
        price: str,
        volume: str,
        side: str | None,
        trade_id: int | str,
        ts: int | str,
        first_trade_id: int | None = None,
        last_trade_id: int | None = None,
    ) -> Tick:
        """A trade, with the quote last known."""
        return Tick(
            symbol=self.symbol,
            exchange=self.exchange,
            price=price,
            volume=volume,
            side=side,
            trade_id=trade_id,
            bid_price=self.bid_price,
            bid_volume=self.bid_volume,
            ask_price=self.ask_price,
            ask_volume=self.ask_volume,
            ts=ts,
            raw_symbol=self.raw_symbol,
            first_trade_id=first_trade_id,
            last_trade_id=last_trade_id,
        )

    def quote(self, *, ts: int | str, quote_time: str | None = None) -> Tick:
        """The quote alone."""
        return Tick(
            symbol=self.symbol,
            exchange=self.exchange,
            bid_price=self.bid_price,
            bid_volume=self.bid_volume,
            ask_price=self.ask_price,
            ask_volume=self.ask_volume,
            ts=ts,
            raw_symbol=self.raw_symbol,
            quote_time=quote_time,
        )


def markets(symbols: dict[str, str], exchange: str, ledger: Ledger) -> dict[str, Market]:
    """One for each mapped symbol, by the venue's name."""
    return {
        raw_symbol: Market(raw_symbol, symbol, exchange, ledger.trade_ids(raw_symbol), ledger.tally)
        for raw_symbol, symbol in symbols.items()
    }
