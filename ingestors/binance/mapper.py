"""Binance's messages as ticks.

Facts of the venue that this rests on:

* ``m`` (the buyer was the maker) true means that the aggressor sold.
* bookTicker's ``u`` rises with each change of a symbol's book, on all connections alike.
* bookTicker has no time on spot. Such a quote is stamped on receipt and says ``"quote_time":"local"``.
* A trade's time ``T`` is no key (sweeps share it); its id ``t`` rises by one per symbol, so a hole is a loss.
* aggTrade joins the trades of one order at one price. Of a symbol that comes both ways, the kind seen first is told and
  the other one ignored, so that no trade is told twice.
* Acknowledgements carry no stream name, only the request's id; some errors do not even have that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ..kit.ledger import Ledger
from ..kit.market import Market, markets
from ..kit.outputs import Output, Reconnect, Status
from ..kit.times import epoch_ns

__all__ = ["BinanceMapper"]

_OTHER_STREAMS: Final = ("depth", "kline_", "ticker", "miniTicker", "avgPrice", "blockTrade")
"""Kinds that may be in a recording and say nothing about trades and the best quote: not worth a second look."""


class _Frame(msgspec.Struct, gc=False):
    """What tells the kinds of message apart: combined or raw, data or an answer to a request."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""
    u: int = 0
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    code: int | None = None
    msg: str = ""


class _Trade(msgspec.Struct, gc=False):
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _AggregateTrade(msgspec.Struct, gc=False):
    s: str
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741 - the venue's name
    T: int
    m: bool


class _BookTicker(msgspec.Struct, gc=False):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    T: int | None = None  # only the futures have it


class _Times(msgspec.Struct, gc=False):
    E: int = 0
    T: int = 0
    data: msgspec.Raw = msgspec.Raw()


class BinanceMapper:
    """See ``kit.mapper.Mapper``. ``symbols`` maps ``BTCUSDT`` to ``BTC/USDT``."""

    def __init__(self, symbols: dict[str, str], ledger: Ledger, *, exchange: str = "binance") -> None:
        self.tally = ledger.tally
        self._ledger = ledger
        self._markets = markets(symbols, exchange, ledger)
        self._trades_from: dict[str, str] = {}
        self._frame = msgspec.json.Decoder(_Frame).decode
        self._trade = msgspec.json.Decoder(_Trade).decode
        self._aggregate_trade = msgspec.json.Decoder(_AggregateTrade).decode
        self._book_ticker = msgspec.json.Decoder(_BookTicker).decode
        self._times = msgspec.json.Decoder(_Times).decode
        self._handlers = {
            "trade": self._on_trade,
            "aggTrade": self._on_aggregate_trade,
            "bookTicker": self._on_book_ticker,
        }

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:
        frame = self._frame(message)
        body = message
        if frame.stream:
            name, _, channel = frame.stream.partition("@")
            kind, body = channel if name[:1] != "!" else frame.stream, bytes(frame.data)
        else:
            kind = frame.e or ("bookTicker" if frame.u else "")
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(body, received_ns)
        if frame.stream and not kind.startswith(_OTHER_STREAMS) and body.startswith(b"{"):
            frame = self._frame(body)  # an answer or announcement may come wrapped as data do
        return self._control(frame, kind)

    def time_of(self, message: bytes) -> int | None:
        times = self._times(message)
        body = bytes(times.data)
        if body.startswith(b"{"):
            times = self._times(body)
        told = times.E or times.T
        return epoch_ns(told) if told else None

    def _on_trade(self, body: bytes, _received_ns: int) -> Sequence[Output]:
        trade = self._trade(body)
        market = self._markets.get(trade.s)
        if market is None:
            return self.tally.count_unmapped(trade.s)
        if not self._tells_trades(market, "trade"):
            return ()
        outputs: list[Output] = []
        if market.admit(trade.t, outputs):
            side = "sell" if trade.m else "buy"
            outputs.append(market.trade(price=trade.p, volume=trade.q, side=side, trade_id=trade.t, ts=trade.T))
        return outputs

    def _on_aggregate_trade(self, body: bytes, _received_ns: int) -> Sequence[Output]:
        trade = self._aggregate_trade(body)
        market = self._markets.get(trade.s)
        if market is None:
            return self.tally.count_unmapped(trade.s)
        if not self._tells_trades(market, "aggTrade"):
            return ()
        outputs: list[Output] = []
        if market.admit(trade.a, outputs):
            outputs.append(
                market.trade(
                    price=trade.p,
                    volume=trade.q,
                    side="sell" if trade.m else "buy",
                    trade_id=trade.a,
                    ts=trade.T,
                    first_trade_id=trade.f,
                    last_trade_id=trade.l,
                )
            )
        return outputs

    def _tells_trades(self, market: Market, kind: str) -> bool:
        if self._trades_from.setdefault(market.raw_symbol, kind) == kind:
            return True
        self.tally.ignored[kind] += 1
        return False

    def _on_book_ticker(self, body: bytes, received_ns: int) -> Sequence[Output]:
        quote = self._book_ticker(body)
        market = self._markets.get(quote.s)
        if market is None:
            return self.tally.count_unmapped(quote.s)
        if not self._ledger.admit_quote(quote.s, quote.u):
            return ()
        market.set_quote(quote.b, quote.B, quote.a, quote.A)
        if quote.T is None:
            return (market.quote(ts=received_ns, quote_time="local"),)
        return (market.quote(ts=quote.T),)

    def _control(self, frame: _Frame, kind: str) -> Sequence[Output]:
        if frame.code is not None:
            request = "a request" if frame.id is None else f"request {frame.id}"
            return (Status("error", f"Binance refuses {request}: {frame.msg} (code {frame.code})"),)
        if frame.e == "serverShutdown":
            return (Reconnect("Binance announces that it closes this connection"),)
        if bytes(frame.result) and frame.id is not None:
            return (Status("subscribed", f"request {frame.id} is accepted"),)
        self.tally.ignored[kind or "other"] += 1
        return ()
