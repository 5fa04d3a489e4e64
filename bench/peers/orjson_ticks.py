"""The work on a tick with orjson and Decimal.

    python -m bench.peers.orjson_ticks REPEAT < LINES

Prints {"ns":…,"ticks":…}: this thread's CPU time, and how many lines were accepted.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal, InvalidOperation

import orjson  # type: ignore[import-not-found,unused-ignore]

_AMOUNTS = ("price", "volume", "bid", "bid_volume", "ask", "ask_volume")
_PAST_NS = 7 * 24 * 3600 * 1_000_000_000
_FUTURE_NS = 60 * 1_000_000_000


def transform(line: bytes) -> bytes | None:
    """A message, or None for a line that is refused."""
    try:
        tick = orjson.loads(line)
        if not isinstance(tick, dict):
            return None
        for name in _AMOUNTS:
            if (amount := tick.get(name)) is not None:
                value = Decimal(amount if isinstance(amount, str) else repr(amount))
                if not (value > 0 if name == "price" else value >= 0):
                    return None
                tick[name] = str(value)
        symbol, stamp = tick["symbol"], tick["ts"]
    except (orjson.JSONDecodeError, InvalidOperation, KeyError):
        return None
    if not isinstance(symbol, str) or not symbol or not isinstance(stamp, int):
        return None
    if not ("price" in tick or "bid" in tick or "ask" in tick) or tick.get("side", "buy") not in ("buy", "sell"):
        return None
    if stamp < 10**17:
        stamp *= 1_000_000_000 if stamp < 10**11 else 1_000_000 if stamp < 10**14 else 1000
    if not -_FUTURE_NS < time.time_ns() - stamp < _PAST_NS:
        return None
    message: bytes = orjson.dumps(tick)
    return message


def measure(lines: bytes, repeat: int) -> tuple[int, int]:
    """CPU time (ns) and accepted ticks."""
    accepted = 0
    began = time.thread_time_ns()
    for _ in range(repeat):
        for line in lines.split(b"\n"):
            if line and transform(line) is not None:
                accepted += 1
    return time.thread_time_ns() - began, accepted


if __name__ == "__main__":
    ns, ticks = measure(sys.stdin.buffer.read(), int(sys.argv[1]))
    sys.stdout.write(json.dumps({"ns": ns, "ticks": ticks}))
