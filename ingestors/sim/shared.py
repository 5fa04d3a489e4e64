"""A market that every simulator knows by the clock alone: those that share it tell the same trades at the same prices, each when it
hears of them."""

from __future__ import annotations

import math
import zlib
from typing import Final, NamedTuple

__all__ = ["Trade", "price", "trade"]

_SLOT_NS: Final = 100_000_000
"""There is one trade of each symbol in a slot, at one price."""
_WAVES: Final = ((31.0, 1.0), (7.3, 0.35), (1.9, 0.12))
"""How long each takes, in seconds, and how high it is."""
_HEIGHT: Final = 1 / 2000
"""Of the highest one, in parts of the base."""
_MOST_SIZE: Final = 200_000


class Trade(NamedTuple):
    id: int
    is_buy: bool
    size: int
    """In hundred-thousandths."""


def price(symbol: str, base: int, ts_ns: int) -> int:
    """In hundredths, as ``base`` is."""
    slot = ts_ns // _SLOT_NS
    at_s = slot * _SLOT_NS / 1e9 + _digest(symbol, 0)
    waves = sum(height * math.sin(math.tau * at_s / length_s) for length_s, height in _WAVES)
    return max(2, base + round(base * _HEIGHT * waves) + _digest(symbol, slot) % 7 - 3)


def trade(symbol: str, ts_ns: int) -> Trade:
    slot = ts_ns // _SLOT_NS
    digest = _digest(symbol, slot)
    return Trade(slot, is_buy=bool(digest & 1), size=1 + (digest >> 1) % _MOST_SIZE)


def _digest(symbol: str, slot: int) -> int:
    return zlib.crc32(f"{symbol} {slot}".encode())
