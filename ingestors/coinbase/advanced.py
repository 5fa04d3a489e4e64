"""The Coinbase Advanced Trade feed: market_trades, ticker and heartbeats.

Messages are numbered per connection over all channels, acknowledgements included, so a hole is a loss. Trades come
newest first inside an event, and a snapshot of past ones comes first of all. Tickers carry no trade, and no time but
that of their envelope.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import msgspec

from ..kit.ledger import Ledger
from ..kit.mapper import Endpoint
from ..kit.market import markets
from ..kit.outputs import Heartbeat, Output, Status
from ..kit.times import iso_ns

__all__ = ["AdvancedMapper", "endpoint"]

URL: Final = "wss://advanced-trade-ws.coinbase.com"
IDLE_S: Final = 15.0
"""Heartbeats come once a second."""
_REQUEST_SPACING_S: Final = 0.15
"""The venue takes 8 messages a second."""
_CHANNELS: Final = ("market_trades", "ticker", "heartbeats")

TAKER_SIDE: Final = {"BUY": "sell", "SELL": "buy"}
"""By the maker's side, which is what market_trades names."""


class _Envelope(msgspec.Struct, gc=False):
    type: str = ""
    message: str = ""
    reason: str = ""
    channel: str = ""
    timestamp: str = ""
    sequence_num: int | None = None
    events: msgspec.Raw = msgspec.Raw()


class _Trade(msgspec.Struct, gc=False):
    product_id: str
    trade_id: str
    price: str
    size: str
    side: str
    time: str


class _TradesEvent(msgspec.Struct):
    type: str
    trades: list[_Trade]


class _Ticker(msgspec.Struct, gc=False):
    product_id: str
    best_bid: str | None = None
    best_bid_quantity: str | None = None
    best_ask: str | None = None
    best_ask_quantity: str | None = None


class _TickerEvent(msgspec.Struct):
    tickers: list[_Ticker]


class _SubscriptionsEvent(msgspec.Struct):
    subscriptions: dict[str, list[str]]


class AdvancedMapper:
    """See ``kit.mapper.Mapper``. ``symbols`` maps ``BTC-USD`` to ``BTC/USD``."""

    def __init__(self, symbols: dict[str, str], ledger: Ledger) -> None:
        self.tally = ledger.tally
        self._markets = markets(symbols, "coinbase", ledger)
        self._sequence: int | None = None
        self._envelope = msgspec.json.Decoder(_Envelope).decode
        self._trades = msgspec.json.Decoder(list[_TradesEvent]).decode
        self._tickers = msgspec.json.Decoder(list[_TickerEvent]).decode
        self._subscriptions = msgspec.json.Decoder(list[_SubscriptionsEvent]).decode

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:  # noqa: ARG002 - all that matters here is dated
        envelope = self._envelope(message)
        if envelope.type == "error":
            return (Status("error", f"Coinbase: {envelope.message or envelope.reason or 'error without a message'}"),)
        outputs = self._check_sequence(envelope.sequence_num)
        channel = envelope.channel
        if channel == "market_trades":
            for event in self._trades(envelope.events):
                outputs += self._on_trades(event)
        elif channel == "ticker":
            for quotes in self._tickers(envelope.events):
                for ticker in quotes.tickers:
                    outputs += self._on_ticker(ticker, envelope.timestamp)
        elif channel == "heartbeats":
            outputs.append(Heartbeat())
        elif channel == "subscriptions":
            names = {name for listed in self._subscriptions(envelope.events) for name in listed.subscriptions}
            outputs.append(Status("subscribed", ", ".join(sorted(names)) or "nothing"))
        else:
            self.tally.ignored[channel or envelope.type or "other"] += 1
        return outputs

    def time_of(self, message: bytes) -> int | None:
        return iso_ns(self._envelope(message).timestamp)

    def _check_sequence(self, number: int | None) -> list[Output]:
        if number is None:
            return []
        last, self._sequence = self._sequence, number
        if last is None or number == last + 1 or number == 0:  # zero: in a recording, the next connection
            return []
        if number > last:
            return [self.tally.count_gap(number - last - 1, f"message {number}")]
        self.tally.gaps += 1
        return [Status("gap", f"out of order: message {number} after {last}; {self.tally.gaps} gaps so far")]

    def _on_trades(self, event: _TradesEvent) -> list[Output]:
        outputs: list[Output] = []
        is_snapshot = event.type == "snapshot"
        known = {product_id for product_id, market in self._markets.items() if market.told.highest is not None}
        for trade in reversed(event.trades):
            market = self._markets.get(trade.product_id)
            if market is None:
                outputs += self.tally.count_unmapped(trade.product_id)
                continue
            number = int(trade.trade_id)
            is_news = not is_snapshot or (trade.product_id in known and market.told.is_later(number))
            if not market.admit(number, outputs, is_numbered=False):  # the messages are numbered already
                continue
            if not is_news:
                self.tally.ignored["trades of the past"] += 1
                continue
            side = TAKER_SIDE.get(trade.side)
            outputs.append(
                market.trade(price=trade.price, volume=trade.size, side=side, trade_id=trade.trade_id, ts=trade.time)
            )
        return outputs

    def _on_ticker(self, ticker: _Ticker, timestamp: str) -> list[Output]:
        market = self._markets.get(ticker.product_id)
        if market is None:
            return self.tally.count_unmapped(ticker.product_id)
        if not ticker.best_bid and not ticker.best_ask:
            self.tally.ignored["ticker without a quote"] += 1
            return []
        market.set_quote(ticker.best_bid, ticker.best_bid_quantity, ticker.best_ask, ticker.best_ask_quantity)
        return [market.quote(ts=timestamp, quote_time="envelope")]


def endpoint(product_ids: Sequence[str]) -> Endpoint:
    products = list(product_ids)
    requests = [{"type": "subscribe", "product_ids": products, "channel": channel} for channel in _CHANNELS]
    return Endpoint(
        url=URL,
        requests=[json.dumps(request) for request in requests],
        request_spacing_s=_REQUEST_SPACING_S,
        idle_s=IDLE_S,
    )
