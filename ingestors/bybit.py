"""Bybit spot, public WebSocket API v5: the publicTrade and orderbook.1 topics of each symbol, joined into ticks.

Facts of the venue that this rests on (its documentation, "Connect", "Trade", "Orderbook"):

* ``S`` is the taker's side. Trade ids are shared by all symbols, so a step is no loss.
* orderbook.1 is a whole snapshot each time, repeated after three seconds without a change; ``seq`` rises with each change.
  ``cts`` is the matching engine's time, ``ts`` that of sending.
* A request takes up to ten arguments of spot, and is acknowledged or refused as a whole.
* A ``ping`` is due every 20 s.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from .kit.ledger import Ledger
from .kit.mapper import Endpoint, Feed, Keepalive
from .kit.market import Market, markets
from .kit.outputs import Heartbeat, Output, Status
from .kit.symbols import Listing
from .kit.times import epoch_ns
from .kit.venue import Options, Venue, run

_URL: Final = "wss://stream.bybit.com/v5/public/spot"
_LISTING_URL: Final = "https://api.bybit.com/v5/market/instruments-info?category=spot"
_KEEPALIVE: Final = Keepalive(text='{"op":"ping"}', period_s=20.0)
_IDLE_S: Final = 45.0
"""Two pings without an answer."""
_ARGUMENTS_PER_REQUEST: Final = 10
_REQUEST_SPACING_S: Final = 0.1
_SIDES: Final = {"Buy": "buy", "Sell": "sell"}

EXAMPLES: Final = """\
  python -m finstream_ingestors.bybit --symbols BTC/USDT,ETH/USDT
  python -m finstream_ingestors.bybit --replay btc.jsonl --symbols BTC/USDT --speed 10
the listing is the body of https://api.bybit.com/v5/market/instruments-info?category=spot"""


class _Frame(msgspec.Struct, gc=False):
    topic: str = ""
    data: msgspec.Raw = msgspec.Raw()
    ts: int = 0
    cts: int = 0
    op: str = ""
    success: bool = True
    ret_msg: str = ""


class _Trade(msgspec.Struct, gc=False):
    i: str
    T: int
    p: str
    v: str
    S: str


class _Book(msgspec.Struct, gc=False):
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    seq: int


class BybitMapper:
    """See ``kit.mapper.Mapper``. ``symbols`` maps ``BTCUSDT`` to ``BTC/USDT``."""

    def __init__(self, symbols: dict[str, str], ledger: Ledger) -> None:
        self.tally = ledger.tally
        self._ledger = ledger
        self._markets = markets(symbols, "bybit", ledger)
        self._begun: set[str] = set()
        self._frame = msgspec.json.Decoder(_Frame).decode
        self._trades = msgspec.json.Decoder(list[_Trade]).decode
        self._book = msgspec.json.Decoder(_Book).decode

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:  # noqa: ARG002 - all that matters here is dated
        frame = self._frame(message)
        channel, _, raw_symbol = frame.topic.rpartition(".")
        if channel not in {"publicTrade", "orderbook.1"}:
            return self._on_answer(frame, channel)
        market = self._markets.get(raw_symbol)
        if market is None:
            return self.tally.count_unmapped(raw_symbol)
        if channel == "orderbook.1":
            return self._on_book(market, self._book(frame.data), frame.cts or frame.ts)
        outputs: list[Output] = []
        for trade in self._trades(frame.data):
            if market.admit(int(trade.i), outputs, is_numbered=False):
                side = _SIDES.get(trade.S)
                outputs.append(market.trade(price=trade.p, volume=trade.v, side=side, trade_id=trade.i, ts=trade.T))
        return outputs

    def time_of(self, message: bytes) -> int | None:
        ts = self._frame(message).ts
        return epoch_ns(ts) if ts else None

    def _on_book(self, market: Market, book: _Book, ts: int) -> Sequence[Output]:
        if not self._ledger.admit_quote(market.raw_symbol, book.seq):
            if not market.has_quote:  # on a new connection: not news, but trades carry it
                _set_quote(market, book)
            return ()
        _set_quote(market, book)
        is_first = market.raw_symbol not in self._begun
        self._begun.add(market.raw_symbol)
        if not market.has_quote:
            self.tally.ignored["quote of nothing"] += 1
            return ()
        quote = market.quote(ts=ts)
        if is_first and not self._ledger.is_changed(quote):
            self.tally.ignored["quotes of the past"] += 1
            return ()
        return (quote,)

    def _on_answer(self, frame: _Frame, channel: str) -> Sequence[Output]:
        if frame.op in {"ping", "pong"}:
            return (Heartbeat(),)
        if not frame.success:
            return (Status("error", f"Bybit refuses to {frame.op or 'answer'}: {frame.ret_msg or 'no reason told'}"),)
        if frame.op == "subscribe":
            return (Status("subscribed", "a request is accepted"),)
        self.tally.ignored[channel or frame.op or "other"] += 1
        return ()


def _set_quote(market: Market, book: _Book) -> None:
    market.set_quote(*(book.b[0] if book.b else ("", "")), *(book.a[0] if book.a else ("", "")))


class _Instrument(msgspec.Struct):
    symbol: str
    baseCoin: str  # noqa: N815 - the venue's name
    quoteCoin: str  # noqa: N815
    status: str = "Trading"


class _Instruments(msgspec.Struct):
    listed: list[_Instrument] = msgspec.field(name="list")


class _Answer(msgspec.Struct):
    result: _Instruments


def read_listing(body: bytes) -> Listing:
    """The body of ``/v5/market/instruments-info?category=spot``."""
    listed = msgspec.json.decode(body, type=_Answer).result.listed
    return Listing(
        symbols={each.symbol: f"{each.baseCoin}/{each.quoteCoin}" for each in listed},
        halted={each.symbol: each.status for each in listed if each.status != "Trading"},
    )


def subscribe_requests(raw_symbols: Sequence[str]) -> list[str]:
    topics = [f"{channel}.{name}" for name in raw_symbols for channel in ("orderbook.1", "publicTrade")]
    return [
        json.dumps({"op": "subscribe", "args": topics[start : start + _ARGUMENTS_PER_REQUEST]})
        for start in range(0, len(topics), _ARGUMENTS_PER_REQUEST)
    ]


def open_feed(_options: Options, symbols: dict[str, str]) -> Feed:
    endpoint = Endpoint(
        url=_URL,
        requests=subscribe_requests(list(symbols)),
        request_spacing_s=_REQUEST_SPACING_S,
        keepalive=_KEEPALIVE,
        idle_s=_IDLE_S,
    )
    return Feed(endpoint=endpoint, open_mapper=partial(BybitMapper, symbols))


VENUE: Final = Venue(
    name="bybit",
    summary="Trades and best bid/ask of Bybit spot, one tick a line. Protocol: docs/ingestor-protocol.md.",
    examples=EXAMPLES,
    native_name=lambda base, quote: base + quote,
    listing_url=lambda _options: _LISTING_URL,
    read_listing=read_listing,
    open_feed=open_feed,
)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(VENUE, arguments)


if __name__ == "__main__":
    sys.exit(main())
