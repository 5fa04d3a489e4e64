"""Say when a source's ticks grow old, when it falls silent, and when something was missed. asyncio.

python lag_alarm.py 250 binance coinbase      # milliseconds, and the topics
"""

import asyncio
import sys

from finstream_client import AssetState, Disconnected, Error, Gap, Health, Lost, Tick
from finstream_client.asyncio import connect

URL = "http://127.0.0.1:8080"


async def main(limit_ms: float, topics: list[str]) -> None:
    late: set[str] = set()
    async with connect(URL) as client:
        async for item in client.messages(*topics):
            match item:
                case Tick():
                    is_late = item.lag_us > limit_ms * 1000
                    if is_late != (item.asset in late):
                        late ^= {item.asset}
                        print(f"{item.asset}: {'late' if is_late else 'in time again'}, {item.lag_us / 1000:.0f} ms", flush=True)
                case Lost() | Gap():
                    print(f"{item.asset}: {item.count} messages missed", flush=True)
                case Health():
                    print(f"{item.asset}: {item.state} {item.cause or ''}", flush=True)
                case AssetState():
                    print(f"{item.asset}: {item.state} {item.detail or ''}", flush=True)
                case Error():
                    sys.exit(item.detail)
                case Disconnected():
                    print(f"disconnected: {item.detail}", flush=True)
                case _:
                    pass


asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 250, sys.argv[2:] or ["binance"]))
