"""``python -m finstream_ingestors.kraken``: address, subscriptions and the listing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from ..kit.mapper import Endpoint, Feed, Keepalive
from ..kit.symbols import Listing
from ..kit.venue import Options, Venue, run
from .mapper import KrakenMapper

_URL: Final = "wss://ws.kraken.com/v2"
_LISTING_URL: Final = "https://api.kraken.com/0/public/AssetPairs"
_IDLE_S: Final = 5.0
"""What the venue's guide advises: a heartbeat comes every second."""
_KEEPALIVE: Final = Keepalive(text='{"method":"ping"}', period_s=30.0)
"""Connections with nothing to say are closed after a minute."""
_SYMBOLS_PER_REQUEST: Final = 50
_REQUEST_SPACING_S: Final = 0.2
"""The limit is dynamic and not published; 20 a second are known to be safe."""

EXAMPLES: Final = """\
  python -m finstream_ingestors.kraken --symbols BTC/USD,ETH/USD
  python -m finstream_ingestors.kraken --replay btc.jsonl --symbols BTC/USD --speed 10
the listing is the body of https://api.kraken.com/0/public/AssetPairs"""

_TRADED: Final = frozenset({"online", "limit_only", "reduce_only"})
_RENAMED: Final = {"XBT": "BTC", "XDG": "DOGE"}
"""REST's names of currencies that v2 names like everybody else."""


class _Pair(msgspec.Struct):
    wsname: str = ""
    status: str = "online"


class _AssetPairs(msgspec.Struct):
    result: dict[str, _Pair]


class _InstrumentPair(msgspec.Struct):
    symbol: str
    base: str
    quote: str
    status: str = "online"


class _Instruments(msgspec.Struct):
    pairs: list[_InstrumentPair]


class _InstrumentSnapshot(msgspec.Struct):
    data: _Instruments


def read_listing(body: bytes) -> Listing:
    """The body of ``/0/public/AssetPairs``, or a snapshot of the v2 instrument channel."""
    if b'"pairs"' in body:
        listed = msgspec.json.decode(body, type=_InstrumentSnapshot).data.pairs
        return Listing(
            symbols={pair.symbol: f"{pair.base}/{pair.quote}" for pair in listed},
            halted={pair.symbol: pair.status for pair in listed if pair.status not in _TRADED},
        )
    symbols, halted = {}, {}
    for pair in msgspec.json.decode(body, type=_AssetPairs).result.values():
        if pair.wsname:  # dark pools have none
            symbol = "/".join(_RENAMED.get(part, part) for part in pair.wsname.split("/"))
            symbols[symbol] = symbol
            if pair.status not in _TRADED:
                halted[symbol] = pair.status
    return Listing(symbols=symbols, halted=halted)


def subscribe_requests(raw_symbols: Sequence[str]) -> list[str]:
    requests: list[str] = []
    for start in range(0, len(raw_symbols), _SYMBOLS_PER_REQUEST):
        batch = list(raw_symbols[start : start + _SYMBOLS_PER_REQUEST])
        for params in (
            {"channel": "ticker", "symbol": batch, "event_trigger": "bbo", "snapshot": True},
            {"channel": "trade", "symbol": batch, "snapshot": True},
        ):
            requests.append(json.dumps({"method": "subscribe", "params": params, "req_id": len(requests) + 1}))
    return requests


def open_feed(_options: Options, symbols: dict[str, str]) -> Feed:
    endpoint = Endpoint(
        url=_URL,
        requests=subscribe_requests(list(symbols)),
        request_spacing_s=_REQUEST_SPACING_S,
        keepalive=_KEEPALIVE,
        idle_s=_IDLE_S,
    )
    return Feed(endpoint=endpoint, open_mapper=partial(KrakenMapper, symbols))


VENUE: Final = Venue(
    name="kraken",
    summary="Trades and best bid/ask of Kraken spot, one tick a line. Protocol: docs/ingestor-protocol.md.",
    examples=EXAMPLES,
    native_name=lambda base, quote: f"{base}/{quote}",
    listing_url=lambda _options: _LISTING_URL,
    read_listing=read_listing,
    open_feed=open_feed,
)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(VENUE, arguments)


if __name__ == "__main__":
    sys.exit(main())
