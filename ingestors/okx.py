"""OKX, public WebSocket API v5: the trades and bbo-tbt channels of each instrument, joined into ticks.

Facts of the venue that this rests on:

* ``side`` is the taker's. A row may join several fills of one order (``count``), so a step in ``tradeId`` is no loss.
* The first push of a channel is the last state, which may be hours old: told only where it lies after what was told before.
* Empty text stands for "no bid", "no ask", "no size".
* Each argument of a request is acknowledged alone; an error names its argument only within ``msg``.
* The server drops who hears nothing for 30 s. The text ``ping`` is answered with the text ``pong``, which is not JSON.
* Notice 64008 announces that the connection will be closed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from .kit.exits import MisconfiguredError
from .kit.ledger import Ledger
from .kit.mapper import Endpoint, Feed, Keepalive
from .kit.market import Market, markets
from .kit.outputs import Heartbeat, Output, Reconnect, Status
from .kit.symbols import Listing
from .kit.times import epoch_ns
from .kit.venue import Options, Venue, run

_URL: Final = "wss://ws.okx.com:8443/ws/v5/public"
_LISTING_URL: Final = "https://www.okx.com/api/v5/public/instruments?instType=SPOT"
_IDLE_S: Final = 25.0
_KEEPALIVE: Final = Keepalive(text="ping", period_s=10.0)
"""Twice within the time after which silence means that the connection is dead."""
_INSTRUMENTS_PER_REQUEST: Final = 100
"""About 13 KB a request, of 64 KB that the venue takes."""
_REQUESTS_PER_HOUR: Final = 480
_REQUEST_SPACING_S: Final = 0.35
_SERVICE_UPGRADE: Final = "64008"

EXAMPLES: Final = """\
  python -m finstream_ingestors.okx --symbols BTC/USDT,ETH/USDT
  python -m finstream_ingestors.okx --replay btc.jsonl --symbols BTC/USDT --speed 10
the listing is the body of https://www.okx.com/api/v5/public/instruments?instType=SPOT"""


class _Argument(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""  # noqa: N815 - the venue's name


class _Frame(msgspec.Struct, gc=False):
    arg: _Argument = msgspec.field(default_factory=_Argument)
    data: msgspec.Raw = msgspec.Raw()
    event: str = ""
    code: str = ""
    msg: str = ""


class _Trade(msgspec.Struct, gc=False):
    instId: str  # noqa: N815
    tradeId: str  # noqa: N815
    px: str
    sz: str
    side: str
    ts: str


class _Ticker(msgspec.Struct, gc=False):
    bidPx: str  # noqa: N815
    bidSz: str  # noqa: N815
    askPx: str  # noqa: N815
    askSz: str  # noqa: N815
    ts: str


class _BestQuote(msgspec.Struct, gc=False):
    bids: list[list[str]]
    asks: list[list[str]]
    ts: str


class _Stamped(msgspec.Struct):
    ts: str = ""


class OkxMapper:
    """See ``kit.mapper.Mapper``. ``symbols`` maps ``BTC-USDT`` to ``BTC/USDT``."""

    def __init__(self, symbols: dict[str, str], ledger: Ledger) -> None:
        self.tally = ledger.tally
        self._ledger = ledger
        self._markets = markets(symbols, "okx", ledger)
        self._begun: set[tuple[str, str]] = set()
        """Channels and instruments whose first push has come."""
        self._frame = msgspec.json.Decoder(_Frame).decode
        self._trades = msgspec.json.Decoder(list[_Trade]).decode
        self._tickers = msgspec.json.Decoder(list[_Ticker]).decode
        self._best = msgspec.json.Decoder(list[_BestQuote]).decode
        self._stamped = msgspec.json.Decoder(list[_Stamped]).decode

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:  # noqa: ARG002 - all that matters here is dated
        if message == b"pong":
            return (Heartbeat(),)
        frame = self._frame(message)
        if frame.event:
            return self._on_event(frame)
        channel = frame.arg.channel
        if channel not in {"trades", "trades-all", "bbo-tbt", "tickers"}:
            self.tally.ignored[channel or "other"] += 1
            return ()
        market = self._markets.get(frame.arg.instId)
        if market is None:
            return self.tally.count_unmapped(frame.arg.instId)
        begun = (channel, frame.arg.instId)
        is_first = begun not in self._begun
        if is_first:
            self._begun.add(begun)
        outputs: list[Output] = []
        if channel == "bbo-tbt":
            for best in self._best(frame.data):
                bid, ask = _level(best.bids), _level(best.asks)
                outputs += self._on_quote(market, (*bid, *ask), best.ts, is_first=is_first)
        elif channel == "tickers":
            for ticker in self._tickers(frame.data):
                levels = (ticker.bidPx, ticker.bidSz, ticker.askPx, ticker.askSz)
                outputs += self._on_quote(market, levels, ticker.ts, is_first=is_first)
        else:
            for trade in self._trades(frame.data):
                self._on_trade(market, trade, outputs, is_first=is_first)
        return outputs

    def time_of(self, message: bytes) -> int | None:
        if message == b"pong":
            return None
        data = self._frame(message).data
        stamps = [int(row.ts) for row in self._stamped(data) if row.ts] if bytes(data) else []
        return epoch_ns(stamps[-1]) if stamps else None

    def _on_trade(self, market: Market, trade: _Trade, outputs: list[Output], *, is_first: bool) -> None:
        number = int(trade.tradeId)
        is_news = not is_first or market.told.is_later(number)
        if not market.admit(number, outputs, is_numbered=False):
            return
        if not is_news:
            self.tally.ignored["trades of the past"] += 1
            return
        outputs.append(
            market.trade(price=trade.px, volume=trade.sz, side=trade.side, trade_id=trade.tradeId, ts=trade.ts)
        )

    def _on_quote(
        self, market: Market, levels: tuple[str, str, str, str], ts: str, *, is_first: bool
    ) -> Sequence[Output]:
        market.set_quote(*levels)
        if not market.has_quote:
            self.tally.ignored["quote of nothing"] += 1
            return ()
        quote = market.quote(ts=ts)
        if is_first and not self._ledger.is_changed(quote):
            self.tally.ignored["quotes of the past"] += 1
            return ()
        return (quote,)

    def _on_event(self, frame: _Frame) -> Sequence[Output]:
        if frame.event == "subscribe":
            return (Status("subscribed", f"{frame.arg.channel} {frame.arg.instId}"),)
        if frame.event == "error":
            return (Status("error", f"OKX: {frame.msg} (code {frame.code})"),)
        if frame.event == "notice":
            if frame.code == _SERVICE_UPGRADE:
                return (Reconnect(f"OKX announces: {frame.msg}"),)
            return (Status("maintenance", f"OKX announces: {frame.msg} (code {frame.code})"),)
        self.tally.ignored[frame.event] += 1
        return ()


def _level(levels: list[list[str]]) -> tuple[str, str]:
    """Price and size of the best one; empty text for an empty side."""
    return (levels[0][0], levels[0][1]) if levels else ("", "")


class _Instrument(msgspec.Struct):
    instId: str  # noqa: N815
    baseCcy: str  # noqa: N815
    quoteCcy: str  # noqa: N815
    state: str = "live"


class _Instruments(msgspec.Struct):
    data: list[_Instrument]


def read_listing(body: bytes) -> Listing:
    """The body of ``/api/v5/public/instruments``. Derivatives, whose sizes are contracts, are left out."""
    listed = [each for each in msgspec.json.decode(body, type=_Instruments).data if each.baseCcy]
    return Listing(
        symbols={each.instId: f"{each.baseCcy}/{each.quoteCcy}" for each in listed},
        halted={each.instId: each.state for each in listed if each.state != "live"},
    )


def subscribe_requests(raw_symbols: Sequence[str]) -> list[str]:
    """Raises MisconfiguredError when they are more than the venue takes in an hour."""
    requests = []
    for start in range(0, len(raw_symbols), _INSTRUMENTS_PER_REQUEST):
        batch = raw_symbols[start : start + _INSTRUMENTS_PER_REQUEST]
        arguments = [{"channel": channel, "instId": name} for name in batch for channel in ("trades", "bbo-tbt")]
        requests.append(json.dumps({"op": "subscribe", "args": arguments}))
    if len(requests) > _REQUESTS_PER_HOUR // 4:  # a few reconnects must be possible
        raise MisconfiguredError(f"--symbols: {len(raw_symbols)} are more than OKX lets one connection subscribe to")
    return requests


def open_feed(_options: Options, symbols: dict[str, str]) -> Feed:
    endpoint = Endpoint(
        url=_URL,
        requests=subscribe_requests(list(symbols)),
        request_spacing_s=_REQUEST_SPACING_S,
        keepalive=_KEEPALIVE,
        idle_s=_IDLE_S,
    )
    return Feed(endpoint=endpoint, open_mapper=partial(OkxMapper, symbols))


VENUE: Final = Venue(
    name="okx",
    summary="Trades and best bid/ask of OKX spot, one tick a line. Protocol: docs/ingestor-protocol.md.",
    examples=EXAMPLES,
    native_name=lambda base, quote: f"{base}-{quote}",
    listing_url=lambda _options: _LISTING_URL,
    read_listing=read_listing,
    open_feed=open_feed,
    test_hosts={"wspap.okx.com", "wseeapap.okx.com", "wsuspap.okx.com"},
)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(VENUE, arguments)


if __name__ == "__main__":
    sys.exit(main())
