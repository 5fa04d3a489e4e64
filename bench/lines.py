"""Ingestor lines to parse: short, typical, long and hostile ones, and such of many symbols; all different."""

from __future__ import annotations

import json
import random
import time

__all__ = ["LINES", "SYMBOLS", "hostile_lines", "long_lines", "short_lines", "symbol_lines", "typical_lines"]

LINES = 4096
"""So many different lines: more than a branch predictor learns by heart, and still within a second-level cache."""
SYMBOLS = 10_000
"""Of :func:`symbol_lines`."""

_SYMBOLS = (
    ("BTC/USDT", 67123.45, 2), ("ETH/USDT", 3512.07, 2), ("SOL/USDT", 171.334, 3), ("XRP/USDT", 0.52341, 5),
    ("BNB/USDT", 598.12, 2), ("ADA/USDT", 0.44712, 5), ("DOGE/USDT", 0.123456, 6), ("LTC/USDT", 84.215, 3),
)  # fmt: skip


def _draws(seed: int, count: int = LINES) -> list[tuple[random.Random, str, float, int, int]]:
    """For each line: a source of numbers, symbol, price, decimals of the price, stamp (ns). The stamps end now."""
    chance = random.Random(seed)
    now = time.time_ns()
    drawn = []
    for i in range(count):
        symbol, price, decimals = chance.choice(_SYMBOLS)
        drawn.append((chance, symbol, price * (1 + chance.uniform(-0.01, 0.01)), decimals, now - (count - i) * 250_000))
    return drawn


def short_lines() -> bytes:
    """About 60 bytes: symbol, a bare price and a stamp in milliseconds."""
    return "".join(
        f'{{"symbol":"{symbol}","price":{price:.{decimals}f},"ts":{stamp // 1_000_000}}}\n'
        for _, symbol, price, decimals, stamp in _draws(1)
    ).encode()


def typical_lines() -> bytes:
    """About 145 bytes, as the producer's: a trade with bid and ask, decimals as strings, a stamp in nanoseconds."""
    return _joined([_typical(i, *drawn) for i, drawn in enumerate(_draws(2))])


def symbol_lines() -> bytes:
    """As the typical ones, each of another symbol: ``SYMBOLS`` lines. Dealt out in turn to a number of assets that divides it, pass
    after pass, each asset always gets the same ones."""
    return _joined(
        [
            _typical(i, chance, f"S{i:05d}/USD", price, decimals, stamp)
            for i, (chance, _symbol, price, decimals, stamp) in enumerate(_draws(5, SYMBOLS))
        ]
    )


def _typical(i: int, chance: random.Random, symbol: str, price: float, decimals: int, stamp: int) -> str:
    tick = {
        "symbol": symbol,
        "price": f"{price:.{decimals}f}",
        "volume": f"{chance.uniform(0.00001, 10):.{chance.randint(3, 6)}f}",
        "ts": stamp,
        "bid": f"{price * 0.99999:.{decimals}f}",
        "ask": f"{price * 1.00001:.{decimals}f}",
        "trade_id": str(1_000_000_000 + i),
    }
    return json.dumps(tick, separators=(",", ":"))


def long_lines() -> bytes:
    """About 700 bytes: every member of the protocol with many digits, and some that it does not know."""
    lines = []
    for i, (chance, symbol, price, _decimals, stamp) in enumerate(_draws(3)):
        tail = f"{chance.randrange(10**10):010d}"
        tick: dict[str, object] = {
            "symbol": symbol,
            "price": f"{price:.8f}{tail}",
            "volume": f"{chance.uniform(1, 1e6):.6f}{tail}",
            "side": chance.choice(("buy", "sell")),
            "bid": f"{price * 0.99999:.8f}{tail}",
            "bid_volume": f"{chance.uniform(1, 1e6):.6f}{tail}",
            "ask": f"{price * 1.00001:.8f}{tail}",
            "ask_volume": f"{chance.uniform(1, 1e6):.6f}{tail}",
            "ts": stamp,
            "exchange": "a venue with a rather long name",
            "trade_id": f"{stamp}-{i:010d}-{tail}",
            "event_id": f"evt-{tail}-{i}",
            "conditions": ["@", "F", "T", "I"],
            "book": {"level": i % 10, "depth": [[f"{price:.4f}", chance.randrange(99)] for _ in range(4)]},
            "note": 'café – a text with "quotes", escapes and the like',
            "flags": {"late": False, "odd_lot": True, "ref": None},
        }
        lines.append(json.dumps(tick, separators=(",", ":"), ensure_ascii=bool(i % 2)))
    return _joined(lines)


def hostile_lines() -> bytes:
    """About 250 bytes: half of them to be refused at the last moment, the rest as awkward as the protocol allows."""
    lines = []
    for i, (chance, _symbol, price, _decimals, stamp) in enumerate(_draws(4)):
        digits = f"{chance.randrange(10**27):027d}"
        symbol = "".join(f"\\u{ord(letter):04x}" for letter in f"H{i % 97}/USDT")
        deep = "[" * 60 + "]" * 60
        note = r"\ud83d\ude00\u0000\t" * chance.randint(1, 4) + '\\"' * chance.randint(1, 9)
        start = f'{{"note":"{note}","symbol":"{symbol}","ts":{stamp},"trade_id":"{i}"'
        lines.append(
            start
            + (
                f',"price":"{price:.0f}.{digits[:20]}","volume":"1{digits[:8]}e-9"}}',  # exponents and many digits
                f',"deep":{deep},"price":"{price:.9f}000000000000000"}}',
                f' ,\t"price" : "1.{digits[:24]}" , "bid" :null, "ask": null }}',
                f',"x":{{"price":["{digits}"]}},"price":{price:.8f}}}',
                f',"price":"{digits}{digits}"}}',  # from here on to be refused: out of range,
                f',"price":"{price:.8f}","price":"{price:.8f}"}}',  # twice the same member,
                f',"price":"{price:.8f}","volume":"1.{digits[:9]}."}}',  # not a number,
                f',"price":"{price:.8f}","bid":"{digits[:9]}"',  # cut off
            )[i % 8]
        )
    return _joined(lines)


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
