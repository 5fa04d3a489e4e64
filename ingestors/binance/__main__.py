"""``python -m finstream_ingestors.binance``: address, subscriptions and the listing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from ..kit.exits import MisconfiguredError
from ..kit.mapper import Endpoint, Feed
from ..kit.symbols import Listing
from ..kit.venue import Options, Venue, run
from .mapper import BinanceMapper

_URL: Final = "wss://stream.binance.com:9443/stream?timeUnit=MICROSECOND"
_LISTING_URL: Final = "https://api.binance.com/api/v3/exchangeInfo"
_STREAMS_PER_CONNECTION: Final = 1024
_STREAMS_PER_REQUEST: Final = 200
_REQUEST_SPACING_S: Final = 0.3
"""The venue takes 5 messages a second, pongs included, and bans who sends more."""
_IDLE_S: Final = 300.0
"""There is no heartbeat to wait for and a quiet pair may be silent for minutes; dead sockets are found by pings."""
_LIFETIME_S: Final = 23.5 * 3600
"""The venue closes a connection after 24 hours."""

EXAMPLES: Final = """\
  python -m finstream_ingestors.binance --symbols BTC/USDT,ETH/USDT
  python -m finstream_ingestors.binance --symbols BTC/USDT --url wss://data-stream.binance.vision/stream
  python -m finstream_ingestors.binance --replay btcusdt.jsonl --symbols BTC/USDT --speed 10
  python -m finstream_ingestors.binance --replay day.jsonl.gz --listing exchangeInfo.json.gz --speed max
the listing is the body of https://api.binance.com/api/v3/exchangeInfo"""


class _ListedSymbol(msgspec.Struct):
    symbol: str
    baseAsset: str  # noqa: N815 - the venue's name
    quoteAsset: str  # noqa: N815
    status: str = "TRADING"


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_ListedSymbol]


def read_listing(body: bytes) -> Listing:
    """The body of ``/api/v3/exchangeInfo``."""
    info = msgspec.json.decode(body, type=_ExchangeInfo)
    return Listing(
        symbols={entry.symbol: f"{entry.baseAsset}/{entry.quoteAsset}" for entry in info.symbols},
        halted={entry.symbol: entry.status for entry in info.symbols if entry.status != "TRADING"},
    )


def subscribe_requests(raw_symbols: Sequence[str]) -> list[str]:
    """SUBSCRIBE messages for the trades and quotes of all symbols, as few as sensible.

    Raises:
        MisconfiguredError: More streams than one connection may have.
    """
    streams = [f"{raw_symbol.lower()}@{kind}" for raw_symbol in raw_symbols for kind in ("trade", "bookTicker")]
    if len(streams) > _STREAMS_PER_CONNECTION:
        raise MisconfiguredError(
            f"--symbols: {len(raw_symbols)} are more than Binance serves on one connection: "
            f"give each asset up to {_STREAMS_PER_CONNECTION // 2}"
        )
    batches = [streams[start : start + _STREAMS_PER_REQUEST] for start in range(0, len(streams), _STREAMS_PER_REQUEST)]
    return [
        json.dumps({"method": "SUBSCRIBE", "params": batch, "id": number}, ensure_ascii=False)
        for number, batch in enumerate(batches, 1)
    ]


def open_feed(options: Options, symbols: dict[str, str]) -> Feed:
    endpoint = Endpoint(
        url=_URL,
        requests=[] if options.replay else subscribe_requests(list(symbols)),
        request_spacing_s=_REQUEST_SPACING_S,
        idle_s=_IDLE_S,
        lifetime_s=_LIFETIME_S,
    )
    return Feed(endpoint=endpoint, open_mapper=partial(BinanceMapper, symbols, exchange=options.exchange))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exchange", default="binance",
        help="the venue's name in the ticks, for use with --url of a venue that speaks the same (default binance)",
    )


VENUE: Final = Venue(
    name="binance",
    summary="Trades and best bid/ask of Binance spot, one tick a line. Protocol: docs/ingestor-protocol.md.",
    examples=EXAMPLES,
    native_name=lambda base, quote: base + quote,
    listing_url=lambda _options: _LISTING_URL,
    read_listing=read_listing,
    test_hosts={"stream.binancefuture.com", "dstream.binancefuture.com"},
    open_feed=open_feed,
    add_options=add_options,
)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(VENUE, arguments)


if __name__ == "__main__":
    sys.exit(main())
