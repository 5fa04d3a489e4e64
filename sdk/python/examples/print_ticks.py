"""Print ticks as they come.

python print_ticks.py binance:BTC/USDT coinbase
"""

import sys

from finstream_client import connect

URL = "http://127.0.0.1:8080"

for tick in connect(URL).stream(*(sys.argv[1:] or ["binance"])):
    print(tick.asset, tick.seq, tick.symbol, tick.price or "quote", tick.bid_price, tick.ask_price, f"{tick.lag_us / 1000:.1f} ms")
