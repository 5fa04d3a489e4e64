"""The Coinbase Exchange feed: matches, ticker and heartbeat.

Trades are told by matches alone. A ticker repeats the last match of an order (it may come before or after it, and may
stand for several), so it only gives the quote. What comes first of each product on a connection is the past:
``last_match`` and one ticker.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import msgspec

from ..kit.ledger import Ledger
from ..kit.mapper import Endpoint
from ..kit.market import Market, markets
from ..kit.outputs import Heartbeat, Output, Status
from ..kit.times import iso_ns

__all__ = ["ExchangeMapper", "endpoint"]

URL: Final = "wss://ws-feed.exchange.coinbase.com"
IDLE_S: Final = 15.0
"""Heartbeats come once a second for each product."""

_PER_PRODUCT: Final = frozenset({"match", "last_match", "ticker", "heartbeat"})

TAKER_SIDE: Final = {"buy": "sell", "sell": "buy"}
"""By the maker's side, which is what matches name."""


class _Message(msgspec.Struct, gc=False):
    type: str
    product_id: str = ""
    trade_id: int = 0
    price: str = ""
    size: str = ""
    side: str = ""
    time: str = ""
    best_bid: str | None = None
    best_bid_size: str | None = None
    best_ask: str | None = None
    best_ask_size: str | None = None
    message: str = ""
    reason: str = ""
    channels: msgspec.Raw = msgspec.Raw()


class _Channel(msgspec.Struct):
    name: str


class ExchangeMapper:
    """See ``kit.mapper.Mapper``. ``symbols`` maps ``BTC-USD`` to ``BTC/USD``."""

    def __init__(self, symbols: dict[str, str], ledger: Ledger) -> None:
        self.tally = ledger.tally
        self._markets = markets(symbols, "coinbase", ledger)
        self._quoted: set[str] = set()
        self._decode = msgspec.json.Decoder(_Message).decode
        self._channels = msgspec.json.Decoder(list[_Channel]).decode

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:  # noqa: ARG002 - all that matters here is dated
        decoded = self._decode(message)
        kind = decoded.type
        if kind in _PER_PRODUCT:
            market = self._markets.get(decoded.product_id)
            if market is None:
                return self.tally.count_unmapped(decoded.product_id)
            if kind == "heartbeat":
                return (Heartbeat(),)
            return self._on_ticker(market, decoded) if kind == "ticker" else self._on_match(market, decoded)
        if kind == "error":
            return (Status("error", ": ".join(filter(None, ("Coinbase", decoded.message, decoded.reason)))),)
        if kind == "subscriptions":
            names = ", ".join(channel.name for channel in self._channels(decoded.channels))
            return (Status("subscribed", names or "nothing"),)
        self.tally.ignored[kind] += 1
        return ()

    def time_of(self, message: bytes) -> int | None:
        return iso_ns(self._decode(message).time)

    def _on_match(self, market: Market, match: _Message) -> Sequence[Output]:
        outputs: list[Output] = []
        is_news = match.type == "match" or market.told.is_later(match.trade_id)
        if not market.admit(match.trade_id, outputs):
            return outputs
        if not is_news:
            self.tally.ignored[f"{match.type} of the past"] += 1
            return outputs
        side = TAKER_SIDE.get(match.side)
        outputs.append(
            market.trade(price=match.price, volume=match.size, side=side, trade_id=match.trade_id, ts=match.time)
        )
        return outputs

    def _on_ticker(self, market: Market, ticker: _Message) -> Sequence[Output]:
        is_past = ticker.product_id not in self._quoted
        self._quoted.add(ticker.product_id)
        market.set_quote(ticker.best_bid, ticker.best_bid_size, ticker.best_ask, ticker.best_ask_size)
        if is_past or not market.has_quote:
            self.tally.ignored["ticker of the past" if is_past else "ticker without a quote"] += 1
            return ()
        return (market.quote(ts=ticker.time),)


def endpoint(product_ids: Sequence[str]) -> Endpoint:
    request = {"type": "subscribe", "product_ids": list(product_ids), "channels": ["matches", "ticker", "heartbeat"]}
    return Endpoint(url=URL, requests=[json.dumps(request)], idle_s=IDLE_S)
