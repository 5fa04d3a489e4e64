"""Synthetic ticks: a random walk of each symbol on a grid of whole numbers, so that every price is exact.

The walk is pulled back to its base price, which only the symbol's name decides: sims with different seeds are different
venues for the same market.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from . import shared
from .shared import Trade

__all__ = ["Market", "Stamping"]

_BASE_PRICES: Final = {"BTC": 67_000_00, "ETH": 3_500_00, "SOL": 150_00}
"""In hundredths. Others get one from their name."""
_STEP_TICKS: Final = 3
_PULL: Final = 2048
"""So many hundredths away from the base, the pull back is half as strong as the walk."""


def decimal_text(mantissa: int, scale: int) -> str:
    """``mantissa / 10**scale`` as text, without a float in between. For mantissas that are not negative."""
    digits = str(mantissa).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}"


@dataclass(frozen=True, kw_only=True)
class Stamping:
    """How the ticks are dated against our clock."""

    lag_ns: int = 0
    jitter_ns: int = 0
    """Each tick's lag is longer by up to this much."""
    clock_offset_ns: int = 0
    """Above zero, the venue's clock is ahead of ours."""


class _Walk:
    __slots__ = ("ask_size", "base", "bid_size", "last_shared", "price", "spread", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        name = symbol.partition("/")[0]
        self.base = _BASE_PRICES.get(name) or 10_00 + zlib.crc32(name.encode()) % 990_00
        self.price = self.base
        self.spread = 1 + self.base // 1_000_000
        self.bid_size = self.ask_size = 1_00000
        self.last_shared = 0


class Market:
    """Makes tick lines. The same seed and the same calls give the same walk; times come from the caller."""

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        exchange: str,
        seed: int | None,
        trade_share: float,
        first_trade_id: int,
        stamping: Stamping,
        shared_trades: bool = False,
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self._walks = [_Walk(symbol) for symbol in symbols]
        self._exchange = exchange
        self._trade_share = trade_share
        self._trade_id = first_trade_id
        self._shared_trades = shared_trades
        self._last_ts_ns = 0
        self._stamping = stamping

    def set_lag(self, lag_ns: int) -> None:
        """From the next tick on, whose stamp may lie before the last one's."""
        self._stamping = replace(self._stamping, lag_ns=lag_ns)
        self._last_ts_ns = 0

    def line(self, now_ns: int) -> bytes:
        """The next tick, a trade with its quote or a quote alone. Jitter never makes stamps run backwards."""
        draw = self._random.random
        walk = self._walks[int(draw() * len(self._walks))] if len(self._walks) > 1 else self._walks[0]
        ts_ns = self._stamp_ns(now_ns)
        walk.price = self._price(walk, ts_ns)
        bid, ask = walk.price, walk.price + walk.spread
        if draw() < 0.5:
            walk.bid_size = 1 + int(draw() * 5_00000)
        else:
            walk.ask_size = 1 + int(draw() * 5_00000)
        quote = (
            f'"bid_price":"{decimal_text(bid, 2)}","bid_volume":"{decimal_text(walk.bid_size, 5)}",'
            f'"ask_price":"{decimal_text(ask, 2)}","ask_volume":"{decimal_text(walk.ask_size, 5)}"'
        )
        trade = ""
        if draw() < self._trade_share and (made := self._next_trade(walk, ts_ns)) is not None:
            trade = (
                f'"price":"{decimal_text(ask if made.is_buy else bid, 2)}","volume":"{decimal_text(made.size, 5)}",'
                f'"side":"{"buy" if made.is_buy else "sell"}","trade_id":{made.id},'
            )
        line = f'{{"symbol":"{walk.symbol}","exchange":"{self._exchange}",{trade}{quote},"ts":{ts_ns}}}\n'
        return line.encode()

    def _price(self, walk: _Walk, ts_ns: int) -> int:
        if self._shared_trades:
            return shared.price(walk.symbol, walk.base, ts_ns)
        pull = (walk.price - walk.base) / _PULL
        return max(1 + walk.spread, walk.price + round((self._random.random() * 2 - 1) * _STEP_TICKS - pull))

    def _next_trade(self, walk: _Walk, ts_ns: int) -> Trade | None:
        """None: the one of this moment has been told."""
        if self._shared_trades:
            trade = shared.trade(walk.symbol, ts_ns)
            is_news = trade.id != walk.last_shared
            walk.last_shared = trade.id
            return trade if is_news else None
        draw = self._random.random
        self._trade_id += 1
        return Trade(self._trade_id - 1, is_buy=draw() < 0.5, size=1 + int(draw() * 200000))

    def _stamp_ns(self, now_ns: int) -> int:
        stamping = self._stamping
        lag_ns = stamping.lag_ns
        if stamping.jitter_ns:
            lag_ns += int(self._random.random() * stamping.jitter_ns)
        self._last_ts_ns = max(self._last_ts_ns, now_ns - lag_ns + stamping.clock_offset_ns)
        return self._last_ts_ns
