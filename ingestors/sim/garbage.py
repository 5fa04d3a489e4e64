"""The lies: lines that break the ingestor protocol, one rule each."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["GARBAGE", "Garbage", "garbage_line"]

_TEN_YEARS_NS: Final = 3653 * 86400 * 10**9

GARBAGE: Final[dict[str, bytes]] = {
    "half a line": b'{"symbol":"BTC/USDT","price":"67000.01","ts":',
    "not JSON": b"Traceback (most recent call last):",
    "not an object": b'["BTC/USDT","67000.01",<now>]',
    "no symbol": b'{"price":"67000.01","ts":<now>}',
    "empty symbol": b'{"symbol":"","price":"67000.01","ts":<now>}',
    "neither price nor quote": b'{"symbol":"BTC/USDT","volume":"1","ts":<now>}',
    "price zero": b'{"symbol":"BTC/USDT","price":"0","ts":<now>}',
    "price below zero": b'{"symbol":"BTC/USDT","price":"-67000.01","ts":<now>}',
    "price not a number": b'{"symbol":"BTC/USDT","price":"NaN","ts":<now>}',
    "price too large": b'{"symbol":"BTC/USDT","price":1e999999,"ts":<now>}',
    "price too fine": b'{"symbol":"BTC/USDT","price":"1.%s1","ts":<now>}' % (b"0" * 40),
    "unknown side": b'{"symbol":"BTC/USDT","price":"1","side":"hold","ts":<now>}',
    "no time": b'{"symbol":"BTC/USDT","price":"67000.01"}',
    "not a time": b'{"symbol":"BTC/USDT","price":"67000.01","ts":"yesterday"}',
    "clock ten years behind": b'{"symbol":"BTC/USDT","price":"1","ts":<ten years ago>}',
    "clock ten years ahead": b'{"symbol":"BTC/USDT","price":"1","ts":<in ten years>}',
    "member twice": b'{"symbol":"BTC/USDT","price":"1","price":"2","ts":<now>}',
    "two names of one member": b'{"symbol":"BTC/USDT","price":"1","volume":"1","size":"2","ts":<now>}',
    "member of the engine": b'{"symbol":"BTC/USDT","price":"1","seq":7,"ts":<now>}',
    "invalid UTF-8": b'{"symbol":"BTC/USDT","price":"1","note":"\xff\xfe","ts":<now>}',
    "NUL bytes": b'{"symbol":"BTC/USDT","price":"1","note":"\x00\x00","ts":<now>}',
    "bad escape": b'{"symbol":"BTC/USDT","price":"1","note":"\\x41","ts":<now>}',
    "deep nesting": b'{"symbol":"BTC/USDT","price":"1","ts":<now>,"deep":%s%s}' % (b"[" * 200, b"]" * 200),
    "too long": b'{"symbol":"BTC/USDT","price":"1","ts":<now>,"note":"%s"}' % (b"x" * 70_000),
}
"""By the rule that is broken."""


def garbage_line(template: bytes, now_ns: int) -> bytes:
    """One of the lies at this time, in UTC nanoseconds, with its line feed."""
    for mark, ts_ns in (
        (b"<now>", now_ns),
        (b"<ten years ago>", now_ns - _TEN_YEARS_NS),
        (b"<in ten years>", now_ns + _TEN_YEARS_NS),
    ):
        template = template.replace(mark, b"%d" % ts_ns)
    return template + b"\n"


class Garbage:
    """Draws from the lies, each as often as the others."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self._templates = list(GARBAGE.values())

    def is_due(self, fraction: float) -> bool:
        return fraction > 0 and self._random.random() < fraction

    def line(self, now_ns: int) -> bytes:
        return garbage_line(self._random.choice(self._templates), now_ns)
