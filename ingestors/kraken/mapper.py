"""Kraken's messages (WebSocket API v2) as ticks.

Facts of the venue that this rests on:

* Prices and quantities are JSON numbers; their text is passed on as it stands, trailing zeros included.
* ``side`` is the aggressor's. ``trade_id`` rises by one per pair, so a hole is a loss.
* The ticker tells each change of the best bid and ask only with ``event_trigger: bbo``; its default tells them with trades.
* The snapshot of trades is the last 50, that of the ticker the quote as it stands: both fill what a reconnect missed.
* Each pair of a request is acknowledged or refused alone. A refusal does not heal by asking again.
* A heartbeat comes every second once anything is subscribed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ..kit.ledger import Ledger
from ..kit.market import Market, markets
from ..kit.outputs import Heartbeat, Output, Patience, Reconnect, Status, Tick
from ..kit.times import iso_ns

__all__ = ["KrakenMapper"]

_RATE_PAUSE_S: Final = 5.0
_MAINTENANCE_PAUSE_S: Final = 5.0
"""After a maintenance no more than one attempt in so long; at other times a few at once are taken."""


class _Frame(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    method: str = ""
    success: bool = True
    error: str = ""
    symbol: str = ""
    result: msgspec.Raw = msgspec.Raw()
    Error: str = ""
    time_in: str = ""


class _Trade(msgspec.Struct, gc=False):
    symbol: str
    side: str
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: int
    timestamp: str


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    bid: msgspec.Raw
    bid_qty: msgspec.Raw
    ask: msgspec.Raw
    ask_qty: msgspec.Raw
    timestamp: str = ""


class _Subscription(msgspec.Struct, gc=False):
    channel: str
    symbol: str = ""
    warnings: list[str] = []


class _Maintenance(msgspec.Struct, gc=False):
    title: str = ""
    phase: str = ""
    expected_start_utc: str = ""


class _SystemStatus(msgspec.Struct):
    system: str = ""
    upcoming_maintenance: list[_Maintenance] = []
    emergency: list[_Maintenance] = []


class _Stamped(msgspec.Struct):
    timestamp: str = ""


class KrakenMapper:
    """See ``kit.mapper.Mapper``. ``symbols`` maps ``BTC/USD`` to itself: v2 names pairs as we do."""

    def __init__(self, symbols: dict[str, str], ledger: Ledger) -> None:
        self.tally = ledger.tally
        self._ledger = ledger
        self._markets = markets(symbols, "kraken", ledger)
        self._frame = msgspec.json.Decoder(_Frame).decode
        self._trades = msgspec.json.Decoder(list[_Trade]).decode
        self._tickers = msgspec.json.Decoder(list[_Ticker]).decode
        self._subscription = msgspec.json.Decoder(_Subscription).decode
        self._system = msgspec.json.Decoder(list[_SystemStatus]).decode
        self._stamped = msgspec.json.Decoder(list[_Stamped]).decode

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:
        frame = self._frame(message)
        channel = frame.channel
        if channel == "trade":
            return self._on_trades(self._trades(frame.data), is_snapshot=frame.type == "snapshot")
        if channel == "ticker":
            outputs: list[Output] = []
            for ticker in self._tickers(frame.data):
                outputs += self._on_ticker(ticker, received_ns, is_snapshot=frame.type == "snapshot")
            return outputs
        if channel == "heartbeat" or frame.method == "pong":
            return (Heartbeat(),)
        if channel == "status":
            return self._on_status(frame.data)
        if frame.method or frame.Error or frame.error:
            return self._on_answer(frame)
        self.tally.ignored[channel or "other"] += 1
        return ()

    def time_of(self, message: bytes) -> int | None:
        frame = self._frame(message)
        if frame.channel in {"trade", "ticker", "book"}:
            return iso_ns(self._stamped(frame.data)[-1].timestamp)
        return iso_ns(frame.time_in)

    def _on_trades(self, trades: list[_Trade], *, is_snapshot: bool) -> list[Output]:
        outputs: list[Output] = []
        if is_snapshot:
            trades.sort(key=lambda trade: trade.trade_id)
        known = {trade.symbol for trade in trades if self._is_known(trade.symbol)} if is_snapshot else set()
        for trade in trades:
            market = self._markets.get(trade.symbol)
            if market is None:
                outputs += self.tally.count_unmapped(trade.symbol)
                continue
            is_news = not is_snapshot or (trade.symbol in known and market.told.is_later(trade.trade_id))
            if not market.admit(trade.trade_id, outputs):
                continue
            if not is_news:
                self.tally.ignored["trades of the past"] += 1
                continue
            outputs.append(
                market.trade(
                    price=_text(trade.price),
                    volume=_text(trade.qty),
                    side=trade.side,
                    trade_id=trade.trade_id,
                    ts=trade.timestamp,
                )
            )
        return outputs

    def _is_known(self, raw_symbol: str) -> bool:
        market = self._markets.get(raw_symbol)
        return market is not None and market.told.highest is not None

    def _on_ticker(self, ticker: _Ticker, received_ns: int, *, is_snapshot: bool) -> Sequence[Output]:
        market = self._markets.get(ticker.symbol)
        if market is None:
            return self.tally.count_unmapped(ticker.symbol)
        bid, ask = _price(ticker.bid), _price(ticker.ask)
        market.set_quote(bid, bid and _text(ticker.bid_qty), ask, ask and _text(ticker.ask_qty))
        if not market.has_quote:
            self.tally.ignored["ticker without a quote"] += 1
            return ()
        quote = _quote(market, ticker.timestamp, received_ns)
        if is_snapshot and not self._ledger.is_changed(quote):
            self.tally.ignored["quotes of the past"] += 1
            return ()
        return (quote,)

    def _on_status(self, data: msgspec.Raw) -> Sequence[Output]:
        outputs: list[Output] = []
        for status in self._system(data):
            if status.system != "online":
                outputs.append(Status("maintenance", f"Kraken's trading engine: {status.system or 'state unknown'}"))
            outputs.append(Patience(0.0 if status.system == "online" else _MAINTENANCE_PAUSE_S))
            for kind, events in (("maintenance", status.upcoming_maintenance), ("incident", status.emergency)):
                for event in events:
                    about = f"{event.title or kind} ({event.phase or kind}) {event.expected_start_utc}"
                    outputs.append(Status("maintenance", f"Kraken announces: {about.rstrip()}"))
        return outputs

    def _on_answer(self, frame: _Frame) -> Sequence[Output]:
        if frame.Error:  # the limit on messages: requests were lost, and it does not say which
            return (Reconnect(f"Kraken: {frame.Error}", wait_s=_RATE_PAUSE_S),)
        if frame.error or not frame.success:
            of = f" {frame.symbol}" if frame.symbol else ""
            return (Status("error", f"Kraken refuses to {frame.method or 'answer'}{of}: {frame.error or 'no reason told'}"),)
        if frame.method != "subscribe" or not bytes(frame.result):
            self.tally.ignored[frame.method] += 1
            return ()
        subscription = self._subscription(frame.result)
        warnings = f" ({'; '.join(subscription.warnings)})" if subscription.warnings else ""
        return (Status("subscribed", f"{subscription.channel} {subscription.symbol}{warnings}"),)


def _text(number: msgspec.Raw) -> str:
    return bytes(number).decode().strip('"')


def _price(number: msgspec.Raw) -> str | None:
    """None for zero, by which the venue says that there is no bid or ask."""
    text = _text(number)
    return text if text.strip("0.") else None


def _quote(market: Market, timestamp: str, received_ns: int) -> Tick:
    return market.quote(ts=timestamp) if timestamp else market.quote(ts=received_ns, quote_time="local")
