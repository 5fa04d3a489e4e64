"""Topics: what a subscriber can ask for.

``binance`` is everything of an asset, ``binance:BTC/USDT`` one symbol of it, ``best:BTC/USDT`` that symbol from its best source.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from finstream.vocabulary.errors import RequestError

__all__ = ["ASSET_NAME", "BEST", "MAX_SYMBOL_BYTES", "Topic", "parse_topic"]

ASSET_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
BEST = "best"
"""Stands for an asset in topics: the best source of each symbol, whichever that is."""
MAX_SYMBOL_BYTES = 64
_FORBIDDEN_IN_SYMBOL = re.compile(r'[\x00-\x1f\x7f-\x9f"\\]')


class Topic(NamedTuple):
    asset: str
    symbol: str | None

    def __str__(self) -> str:
        return self.asset if self.symbol is None else f"{self.asset}:{self.symbol}"


def parse_topic(text: str, *, field: str | None = None) -> Topic:
    """Read ``asset`` or ``asset:SYMBOL``.

    Raises:
      RequestError: ``invalid-topic``; whether the asset exists is not checked here.
    """
    asset, colon, symbol = text.partition(":")
    if not ASSET_NAME.fullmatch(asset):
        raise RequestError("invalid-topic", f"{text!r}: a topic is asset or asset:SYMBOL, like binance:BTC/USDT", field=field)
    if not colon:
        return Topic(asset, None)
    if not symbol or len(symbol.encode()) > MAX_SYMBOL_BYTES or _FORBIDDEN_IN_SYMBOL.search(symbol):
        raise RequestError(
            "invalid-topic", f"{text!r}: a symbol has 1 to 64 bytes, no control characters, quotes or backslashes", field=field
        )
    return Topic(asset, symbol)
