"""Yahoo Finance's streamer: last prices of equities, indices, currencies and crypto as protobuf payloads.

Unofficial and not documented by Yahoo. Facts that this rests on, by public clients and recorded frames:

* A frame is JSON around base64 (``version=2``) or bare base64; inside is a ``PricingData``. Unknown fields must be skipped.
* These are snapshots of the last price on a grid of one second, not trades: no trade id, no side. The size of the last trade
  is only that for other things than crypto, where it repeats the volume of the day.
* Prices are binary floats of 32 bits: 307.20 comes as 307.20001220703125. What is passed on is the shortest decimal that is the
  same float, so nothing is lost and nothing invented. (``priceHint`` would cut sub-penny prices and most currencies.)
* The first frame of a symbol is its last price, which may be days old; after a reconnect time can go backwards.
* There is no acknowledgement, no error and no heartbeat; unknown symbols stay silent, and so do those above 100 a connection.
* There is no list of symbols. ``BASE-QUOTE`` is a pair only where the payload says that it is crypto and names both.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import sys
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from .kit.exits import MisconfiguredError
from .kit.ledger import Ledger
from .kit.mapper import Endpoint, Feed
from .kit.market import Market, markets
from .kit.outputs import Heartbeat, Output, Status, Tick
from .kit.venue import Options, Venue, run

_URL: Final = "wss://streamer.finance.yahoo.com/?version=2"
_HEADERS: Final = {"Origin": "https://finance.yahoo.com", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) finstream"}
"""Customary among clients; whether they are required is not known."""
_SYMBOLS_PER_CONNECTION: Final = 100
_IDLE_S: Final = 1800.0
"""Equities are silent at night. Whether the connection lives is found out by pings; this is only the last resort."""

EXAMPLES: Final = """\
  python -m finstream_ingestors.yahoo --symbols AAPL,MSFT,BTC/USD
  python -m finstream_ingestors.yahoo --symbols "^GSPC,EURUSD=X,ES=F"
  python -m finstream_ingestors.yahoo --replay frames.jsonl --symbols BTC/USD --speed max
tickers stand for themselves, BASE/QUOTE is for crypto"""

_CRYPTO: Final = 41
_HEARTBEAT: Final = 7
_MARKET_HOURS: Final = {0: "pre", 1: "regular", 2: "post", 3: "extended", 4: "overnight"}

_FLOAT, _INT32, _SINT64, _STRING = 2, 5, 18, 9
"""Types as protobuf's descriptors number them."""
_FIELDS: Final = (
    ("id", 1, _STRING), ("price", 2, _FLOAT), ("time", 3, _SINT64), ("currency", 4, _STRING), ("exchange", 5, _STRING),
    ("quote_type", 6, _INT32), ("market_hours", 7, _INT32), ("day_volume", 9, _SINT64), ("last_size", 22, _SINT64),
    ("bid", 23, _FLOAT), ("bid_size", 24, _SINT64), ("ask", 25, _FLOAT), ("ask_size", 26, _SINT64),
    ("from_currency", 30, _STRING),
)  # fmt: skip
"""Those of PricingData that are used here."""


class YahooTick(Tick, kw_only=True, omit_defaults=True, frozen=True, gc=False):
    currency: str | None = None
    listed_on: str | None = None
    """The exchange's code at Yahoo, such as NMS."""
    market_hours: str | None = None
    day_volume: int | None = None


class _Frame(msgspec.Struct):
    type: str
    message: str = ""


class YahooMapper:
    """See ``kit.mapper.Mapper``. ``symbols`` maps ``BTC-USD`` to ``BTC/USD``, and ``AAPL`` to itself."""

    def __init__(self, symbols: dict[str, str], ledger: Ledger) -> None:
        self.tally = ledger.tally
        self._told = ledger.notes
        self._markets = markets(symbols, "yahoo", ledger)
        self._begun: set[str] = set()
        self._refused: set[str] = set()
        self._frame = msgspec.json.Decoder(_Frame).decode
        self._pricing = pricing_type()

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:  # noqa: ARG002 - all that matters here is dated
        pricing = self._read(message)
        if pricing is None:
            self.tally.ignored["other"] += 1
            return ()
        if pricing.quote_type == _HEARTBEAT:
            return (Heartbeat(),)
        market = self._markets.get(pricing.id)
        if market is None:
            return self.tally.count_unmapped(pricing.id)
        if not pricing.price:
            self.tally.ignored["without a price"] += 1
            return ()
        if not self._is_what_it_seems(market, pricing):
            return self._refuse(market)
        if not self._is_news(pricing):
            self.tally.ignored["prices told before"] += 1
            return ()
        return (_tick(market, pricing),)

    def time_of(self, message: bytes) -> int | None:
        pricing = self._read(message)
        return pricing.time * 1_000_000 if pricing is not None and pricing.time else None

    def _read(self, message: bytes) -> Any:
        """The payload; None for a frame of another type. Raises ValueError."""
        from google.protobuf.message import DecodeError

        text: bytes | str = message
        if message.startswith(b"{"):
            frame = self._frame(message)
            if frame.type != "pricing":
                return None
            text = frame.message
        try:
            return self._pricing.FromString(base64.b64decode(text, validate=True))
        except (binascii.Error, DecodeError) as error:
            raise ValueError(f"no PricingData: {error}") from error

    def _is_what_it_seems(self, market: Market, pricing: Any) -> bool:
        """A pair must be crypto of these two currencies: a dash also occurs in the names of shares (BRK-B)."""
        base, slash, quote = market.symbol.partition("/")
        if not slash:
            return True
        return pricing.quote_type == _CRYPTO and pricing.from_currency in {base, ""} and pricing.currency in {quote, ""}

    def _refuse(self, market: Market) -> Sequence[Output]:
        self.tally.ignored["not the pair asked for"] += 1
        if market.raw_symbol in self._refused:
            return ()
        self._refused.add(market.raw_symbol)
        detail = f"{market.raw_symbol} is not crypto of {market.symbol}: write --symbols {market.raw_symbol} if you mean that"
        return (Status("error", f"Yahoo: {detail}"),)

    def _is_news(self, pricing: Any) -> bool:
        """Not the first frame of a connection, unless it is later than what was told; not the past; not a repetition."""
        told = self._told.get(pricing.id)
        said = (pricing.time, pricing.price, pricing.last_size, pricing.bid, pricing.ask)
        is_first = pricing.id not in self._begun
        self._begun.add(pricing.id)
        if is_first and (told is None or pricing.time <= told[0]):
            self._told.setdefault(pricing.id, said)
            return False
        if told is not None and (pricing.time < told[0] or said == told):
            return False
        self._told[pricing.id] = said
        return True


def _tick(market: Market, pricing: Any) -> Tick:
    bid, ask = float32_text(pricing.bid), float32_text(pricing.ask)
    market.set_quote(bid, _whole(pricing.bid_size), ask, _whole(pricing.ask_size))
    return YahooTick(
        symbol=market.symbol,
        exchange=market.exchange,
        price=float32_text(pricing.price),
        volume=None if pricing.quote_type == _CRYPTO else _whole(pricing.last_size),
        bid_price=market.bid_price,
        bid_volume=market.bid_volume,
        ask_price=market.ask_price,
        ask_volume=market.ask_volume,
        ts=pricing.time,
        raw_symbol=market.raw_symbol,
        currency=pricing.currency or None,
        listed_on=pricing.exchange or None,
        market_hours=_MARKET_HOURS.get(pricing.market_hours) if pricing.HasField("market_hours") else None,
        day_volume=pricing.day_volume or None,
    )


def _whole(number: int) -> str | None:
    return str(number) if number > 0 else None


def float32_text(value: float) -> str | None:
    """The shortest decimal that is this float of 32 bits; None for zero, which stands for absence."""
    if not value:
        return None
    for digits in range(1, 10):  # nine always do
        text = f"{value:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == value:
            break
    return f"{Decimal(text):f}"


def pricing_type() -> Any:
    """The message class for PricingData, made of ``_FIELDS``. Fields that are not there are skipped in reading.

    Raises:
        MisconfiguredError: The protobuf library is missing.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise MisconfiguredError(f"Yahoo needs the protobuf library ({error}): pip install 'finstream[ingestors]'") from error
    file = descriptor_pb2.FileDescriptorProto(name="finstream/pricing.proto", package="finstream", syntax="proto2")
    message = file.message_type.add(name="PricingData")
    for name, number, kind in _FIELDS:
        message.field.add(name=name, number=number, type=kind, label=1)  # optional
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("finstream.PricingData"))


def open_feed(options: Options, symbols: dict[str, str]) -> Feed:
    if len(symbols) > _SYMBOLS_PER_CONNECTION and not options.replay:
        raise MisconfiguredError(
            f"--symbols: {len(symbols)} are more than Yahoo serves on one connection, and it ignores the rest in silence: "
            f"give each asset up to {_SYMBOLS_PER_CONNECTION}"
        )
    endpoint = Endpoint(url=_URL, requests=[json.dumps({"subscribe": list(symbols)})], headers=_HEADERS, idle_s=_IDLE_S)
    return Feed(endpoint=endpoint, open_mapper=partial(YahooMapper, symbols))


VENUE: Final = Venue(
    name="yahoo",
    summary="Last prices of Yahoo Finance's streamer, one tick a line. Protocol: docs/ingestor-protocol.md.",
    examples=EXAMPLES,
    native_name=lambda base, quote: f"{base}-{quote}",
    open_feed=open_feed,
    takes_tickers=True,
)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(VENUE, arguments)


if __name__ == "__main__":
    sys.exit(main())
