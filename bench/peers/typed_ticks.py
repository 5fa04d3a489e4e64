"""The work on a tick as a Python program does it best today: a msgspec Struct with Decimal prices.

Its messages carry what FinStream's do. In its favour: it keeps the line's own names and the decimals' own form, and it ignores
members that it does not know where FinStream passes them on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import msgspec

__all__ = ["Tick", "typed_transform"]

_ZERO = Decimal(0)
_PAST_NS = 7 * 24 * 3600 * 1_000_000_000
_FUTURE_NS = 60 * 1_000_000_000


class Tick(msgspec.Struct, omit_defaults=True, gc=False):
    symbol: str
    ts: int
    price: Decimal | None = None
    volume: Decimal | None = None
    side: str | None = None
    bid: Decimal | None = None
    bid_volume: Decimal | None = None
    ask: Decimal | None = None
    ask_volume: Decimal | None = None
    exchange: str | None = None
    trade_id: str | None = None
    event_id: str | None = None
    asset: str | None = None
    seq: int = 0
    ts_recv: int = 0


def typed_transform(asset: str) -> Callable[[bytes], bytes | None]:
    """A function from a line to a message; None for a line that is refused.

    It parses, validates, takes the lag (against the line's stamp in s, ms, µs or ns), keeps it smoothed for a ranking, numbers and encodes.
    """
    decode = msgspec.json.Decoder(Tick).decode
    encode = msgspec.json.Encoder().encode
    clock = time.time_ns
    seq = 0
    smoothed = 0.0

    def transform(line: bytes) -> bytes | None:
        nonlocal seq, smoothed
        try:
            tick = decode(line)
        except msgspec.MsgspecError:
            return None
        if not tick.symbol or (tick.price is None and tick.bid is None and tick.ask is None):
            return None
        if tick.price is not None and tick.price <= _ZERO:
            return None
        for amount in (tick.volume, tick.bid, tick.bid_volume, tick.ask, tick.ask_volume):
            if amount is not None and amount < _ZERO:
                return None
        if tick.side is not None and tick.side not in ("buy", "sell"):
            return None
        stamp = tick.ts
        stamp *= 1_000_000_000 if stamp < 10**11 else 1_000_000 if stamp < 10**14 else 1000 if stamp < 10**17 else 1
        now = clock()
        lag = now - stamp
        if not -_FUTURE_NS < lag < _PAST_NS:
            return None
        smoothed += (lag - smoothed) / 16
        seq += 1
        tick.asset, tick.seq, tick.ts_recv = asset, seq, now // 1000
        return encode(tick)

    return transform
