"""One stream for a symbol, always from the source that is best just now; every switch is told.

python best_source.py BTC/USDT
"""

import sys

from finstream_client import Error, Switch, Tick, connect

URL = "http://127.0.0.1:8080"
symbol = sys.argv[1] if len(sys.argv) > 1 else "BTC/USDT"

for item in connect(URL).messages(f"best:{symbol}"):
    if isinstance(item, Tick):
        print(item.via, item.symbol, item.price or "quote", item.bid_price, item.ask_price)
    elif isinstance(item, Switch):
        print(f"--- from {item.from_ or 'nobody'} to {item.to}: {item.reason}")
    elif isinstance(item, Error):
        sys.exit(item.detail)
