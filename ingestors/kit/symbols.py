"""From the venue's names of symbols to ``BASE/QUOTE``: by its listing or by what was asked for, never by guessing.

``BTCUSDT`` has no separator, so it cannot be cut; but ``BTC/USDT`` can be joined, and a listing has the parts.
"""

from __future__ import annotations

import difflib
import gzip
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from .exits import MisconfiguredError

__all__ = ["Listing", "parse_symbols", "read_listing_file", "resolve"]

_TICKER: Final = re.compile(r"[^\s/,\"\\\x00-\x1f\x7f]+")
_SYMBOL: Final = re.compile(r"[^\s/,\"\\\x00-\x1f\x7f]+/[^\s/,\"\\\x00-\x1f\x7f]+")
_MAX_SYMBOL_BYTES: Final = 64
_MOST_NAMED: Final = 20


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a venue lists."""

    symbols: dict[str, str]
    """The venue's name -> ``BASE/QUOTE``."""
    refused: dict[str, str] = field(default_factory=dict)
    """``BASE/QUOTE`` -> why it cannot be had under that name, with the remedy."""
    halted: dict[str, str] = field(default_factory=dict)
    """The venue's name -> the venue's word for its state, of symbols that are listed and not traded now."""

    def halted_among(self, raw_symbols: Iterable[str]) -> str:
        """Those of them that are not traded now, each with its state, for people; empty if there are none."""
        found = [f"{self.symbols[name]} ({self.halted[name]})" for name in raw_symbols if name in self.halted]
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        return ", ".join(found[:_MOST_NAMED]) + more


def parse_symbols(text: str, *, takes_tickers: bool = False) -> list[str]:
    """The value of ``--symbols``: ``BTC/USDT,ETH/USDT``, in order and each once; ``takes_tickers``: also names like ``AAPL``.

    Raises:
        MisconfiguredError: One of them is no symbol.
    """
    symbols: dict[str, None] = {}
    for part in text.split(","):
        symbol = part.strip()
        is_symbol = _SYMBOL.fullmatch(symbol) or (takes_tickers and _TICKER.fullmatch(symbol))
        if not is_symbol or len(symbol.encode()) > _MAX_SYMBOL_BYTES:
            raise MisconfiguredError(f"--symbols: {symbol!r} is no symbol: write BASE/QUOTE, like BTC/USDT,ETH/USDT")
        if symbol != symbol.upper():
            raise MisconfiguredError(f"--symbols: symbols are upper case: {symbol.upper()}, not {symbol}")
        symbols[symbol] = None
    return list(symbols)


def read_listing_file(path: Path, read: Callable[[bytes], Listing]) -> Listing:
    """Read a venue's REST listing from a file, gzip or plain.

    Raises:
        MisconfiguredError: The file cannot be read, or is not this venue's listing.
    """
    try:
        body = path.read_bytes()
        listing = read(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    except (OSError, EOFError) as error:
        raise MisconfiguredError(f"--listing {path}: {error}") from error
    except msgspec.MsgspecError as error:
        raise MisconfiguredError(f"--listing {path} is not this venue's listing: {error}") from error
    if not listing.symbols:
        raise MisconfiguredError(f"--listing {path} lists no symbol")
    return listing


def resolve(wanted: Sequence[str], listing: Listing | None, native_name: Callable[[str, str], str]) -> dict[str, str]:
    """The venue's name -> ``BASE/QUOTE``, for the wanted symbols, or for all of the listing when none are named.

    Raises:
        MisconfiguredError: Neither was given, a symbol is not listed, or two share one name at the venue.
    """
    if listing is None:
        if not wanted:
            raise MisconfiguredError("--symbols or --listing is needed: the venue's names are never guessed at")
        return _joined(wanted, native_name)
    if not wanted:
        return dict(listing.symbols)
    names = {symbol: raw_symbol for raw_symbol, symbol in listing.symbols.items()}
    mapped: dict[str, str] = {}
    for symbol in wanted:
        if symbol in listing.refused:
            raise MisconfiguredError(f"--symbols: {symbol}: {listing.refused[symbol]}")
        if symbol not in names:
            near = difflib.get_close_matches(symbol, names, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise MisconfiguredError(f"--symbols: {symbol} is not in the venue's listing{hint}")
        mapped[names[symbol]] = symbol
    return mapped


def _joined(wanted: Sequence[str], native_name: Callable[[str, str], str]) -> dict[str, str]:
    mapped: dict[str, str] = {}
    for symbol in wanted:
        base, slash, quote = symbol.partition("/")
        raw_symbol = native_name(base, quote) if slash else symbol
        if raw_symbol in mapped:
            raise MisconfiguredError(
                f"--symbols: {mapped[raw_symbol]} and {symbol} are both {raw_symbol} at the venue: "
                "name one of them, or give --listing"
            )
        mapped[raw_symbol] = symbol
    return mapped
