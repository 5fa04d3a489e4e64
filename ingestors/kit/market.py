"""What is known of one symbol at a venue: its names and the best bid and ask last told. It makes the ticks."""

from __future__ import annotations

from .outputs import Tick

__all__ = ["Market", "markets"]


class Market:
    """One symbol. Empty text in a quote counts as absent."""

    __slots__ = ("ask_price", "ask_volume", "bid_price", "bid_volume", "exchange", "raw_symbol", "symbol")

    def __init__(self, raw_symbol: str, symbol: str, exchange: str) -> None:
        self.raw_symbol = raw_symbol
        self.symbol = symbol
        self.exchange = exchange
        self.forget_quote()

    @property
    def has_quote(self) -> bool:
        return self.bid_price is not None or self.ask_price is not None

    def forget_quote(self) -> None:
        """The connection ended, and the quote with it."""
        self.set_quote(None, None, None, None)

    def set_quote(
        self, bid_price: str | None, bid_volume: str | None, ask_price: str | None, ask_volume: str | None
    ) -> None:
        self.bid_price: str | None = bid_price or None
        self.bid_volume: str | None = bid_volume or None
        self.ask_price: str | None = ask_price or None
        self.ask_volume: str | None = ask_volume or None

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


def markets(symbols: dict[str, str], exchange: str) -> dict[str, Market]:
    """One for each mapped symbol, by the venue's name."""
    return {raw_symbol: Market(raw_symbol, symbol, exchange) for raw_symbol, symbol in symbols.items()}
