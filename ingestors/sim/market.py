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

__all__ = ["Market", "Stamping"]

_BASE_PRICES: Final = {"BTC": 67_000_00, "ETH": 3_500_00, "SOL": 150_00}
"""In hundredths. Others get one from their name."""
_STEP_TICKS: Final = 3
_SLOT_NS: Final = 100_000_000
"""In each of them there is one trade of a symbol that is shared."""
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
    __slots__ = ("ask_size", "base", "bid_size", "last_slot", "price", "spread", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        name = symbol.partition("/")[0]
        self.base = _BASE_PRICES.get(name) or 10_00 + zlib.crc32(name.encode()) % 990_00
        self.price = self.base
        self.spread = 1 + self.base // 1_000_000
        self.bid_size = self.ask_size = 1_00000
        self.last_slot = 0


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
        pull = (walk.price - walk.base) / _PULL
        walk.price = max(1 + walk.spread, walk.price + round((draw() * 2 - 1) * _STEP_TICKS - pull))
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
        if draw() < self._trade_share and (trade_id := self._next_trade_id(walk, now_ns)) is not None:
            is_buy = draw() < 0.5
            trade = (
                f'"price":"{decimal_text(ask if is_buy else bid, 2)}",'
                f'"volume":"{decimal_text(1 + int(draw() * 200000), 5)}",'
                f'"side":"{"buy" if is_buy else "sell"}","trade_id":{trade_id},'
            )
        ts_ns = self._stamp_ns(now_ns)
        line = f'{{"symbol":"{walk.symbol}","exchange":"{self._exchange}",{trade}{quote},"ts":{ts_ns}}}\n'
        return line.encode()

    def _next_trade_id(self, walk: _Walk, now_ns: int) -> int | None:
        """None: the trade of this tenth of a second has been told."""
        if not self._shared_trades:
            self._trade_id += 1
            return self._trade_id - 1
        slot = now_ns // _SLOT_NS
        if slot == walk.last_slot:
            return None
        walk.last_slot = slot
        return slot

    def _stamp_ns(self, now_ns: int) -> int:
        stamping = self._stamping
        lag_ns = stamping.lag_ns
        if stamping.jitter_ns:
            lag_ns += int(self._random.random() * stamping.jitter_ns)
        self._last_ts_ns = max(self._last_ts_ns, now_ns - lag_ns + stamping.clock_offset_ns)
        return self._last_ts_ns
