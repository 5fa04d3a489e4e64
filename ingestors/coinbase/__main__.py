"""``python -m finstream_ingestors.coinbase``: options, the listing, and which of the two feeds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from ..kit.exits import MisconfiguredError
from ..kit.mapper import Feed
from ..kit.recording import Recorded, Recording
from ..kit.symbols import Listing
from ..kit.venue import Options, Venue, run
from . import advanced, exchange

EXCHANGE_LISTING_URL: Final = "https://api.exchange.coinbase.com/products"
ADVANCED_LISTING_URL: Final = "https://api.coinbase.com/api/v3/brokerage/market/products"

EXAMPLES: Final = """\
  python -m finstream_ingestors.coinbase --symbols BTC/USD,ETH/USD
  python -m finstream_ingestors.coinbase --feed advanced --symbols BTC/USD
  python -m finstream_ingestors.coinbase --replay btc.jsonl --symbols BTC/USD --speed 10
  python -m finstream_ingestors.coinbase --replay day.jsonl.gz --listing products.json --speed max
the listing is the body of https://api.exchange.coinbase.com/products, or for the advanced feed
of https://api.coinbase.com/api/v3/brokerage/market/products"""


class _Shape(msgspec.Struct):
    type: str = ""
    channel: str = ""
    events: msgspec.Raw = msgspec.Raw()


class _ExchangeProduct(msgspec.Struct):
    id: str
    base_currency: str
    quote_currency: str
    status: str = "online"
    trading_disabled: bool = False

    @property
    def state(self) -> str:
        return "trading_disabled" if self.trading_disabled else self.status


class _AdvancedProduct(msgspec.Struct):
    product_id: str
    base_currency_id: str
    quote_currency_id: str
    alias: str = ""
    status: str = "online"
    is_disabled: bool = False
    trading_disabled: bool = False

    @property
    def state(self) -> str:
        return "trading_disabled" if self.is_disabled or self.trading_disabled else self.status or "online"


class _AdvancedProducts(msgspec.Struct):
    products: list[_AdvancedProduct]


def read_listing(body: bytes) -> Listing:
    """The body of the products call of either feed."""
    if body.lstrip().startswith(b"["):
        listed = msgspec.json.decode(body, type=list[_ExchangeProduct])
        return Listing(
            symbols={product.id: f"{product.base_currency}/{product.quote_currency}" for product in listed},
            halted={product.id: product.state for product in listed if product.state != "online"},
        )
    symbols: dict[str, str] = {}
    refused: dict[str, str] = {}
    halted: dict[str, str] = {}
    for product in msgspec.json.decode(body, type=_AdvancedProducts).products:
        symbol = f"{product.base_currency_id}/{product.quote_currency_id}"
        if product.alias:  # its data come under the other name, so whoever waits for this one waits for ever
            real = product.alias.replace("-", "/")
            refused[symbol] = f"on the advanced feed this is another name of {real}: subscribe to that"
        else:
            symbols[product.product_id] = symbol
            if product.state != "online":
                halted[product.product_id] = product.state
    return Listing(symbols=symbols, refused=refused, halted=halted)


def detect_feed(recording: Iterable[Recorded]) -> str:
    """Which feed recorded messages come from, by the shape of the first one that tells.

    Raises:
        MisconfiguredError: None does.
    """
    decoder = msgspec.json.Decoder(_Shape)
    for entry in recording:
        try:
            shape = decoder.decode(entry.message)
        except msgspec.MsgspecError:
            continue
        if shape.channel and bytes(shape.events):
            return "advanced"
        if shape.type and shape.type != "error":  # errors look alike on both
            return "exchange"
    raise MisconfiguredError("--replay: no message in it looks like one of Coinbase's")


def open_feed(options: Options, symbols: dict[str, str]) -> Feed:
    name: str | None = options.feed
    if name is None:
        name = detect_feed(Recording(options.replay)) if options.replay else "exchange"
    if name == "advanced":
        return Feed(endpoint=advanced.endpoint(list(symbols)), open_mapper=partial(advanced.AdvancedMapper, symbols))
    return Feed(endpoint=exchange.endpoint(list(symbols)), open_mapper=partial(exchange.ExchangeMapper, symbols))


def listing_url(options: Options) -> str:
    return ADVANCED_LISTING_URL if options.feed == "advanced" else EXCHANGE_LISTING_URL


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--feed", choices=("exchange", "advanced"),
        help="which of Coinbase's feeds (default exchange; in a replay, told by the messages)",
    )


VENUE: Final = Venue(
    name="coinbase",
    summary="Trades and best bid/ask of Coinbase, one tick a line. Protocol: docs/ingestor-protocol.md.",
    examples=EXAMPLES,
    native_name=lambda base, quote: f"{base}-{quote}",
    listing_url=listing_url,
    read_listing=read_listing,
    open_feed=open_feed,
    add_options=add_options,
)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(VENUE, arguments)


if __name__ == "__main__":
    sys.exit(main())
