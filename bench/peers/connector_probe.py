"""The binance ingestor with a stop-watch: from the moment at which the event loop hands over what it has just read from the socket
to the moment at which the lines of it are written. Prints all times (ns) as JSON on standard error when it is told to leave."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from finstream_ingestors.binance.__main__ import main
from finstream_ingestors.kit.lines import LineWriter
from websockets.asyncio.client import ClientConnection

first_ns = 0
"""When the oldest data were read whose lines may not be written yet; 0 when all are."""
last_ns = 0
latencies_ns: list[int] = []
trades = 0
_data_received = ClientConnection.data_received
_flush = LineWriter.flush


def data_received(self: ClientConnection, data: bytes) -> None:
    global first_ns, last_ns
    last_ns = time.perf_counter_ns()
    first_ns = first_ns or last_ns
    _data_received(self, data)


def flush(self: Any) -> None:
    global first_ns, trades
    written = self._buffer.count(b'"trade_id"')
    _flush(self)
    if written:
        trades += written
        latencies_ns.append(time.perf_counter_ns() - (first_ns or last_ns))
        first_ns = 0


setattr(ClientConnection, "data_received", data_received)  # noqa: B010 - assigning to a method is no type's business
LineWriter.flush = flush
code = main()
print(json.dumps({"latencies_ns": latencies_ns, "trades": trades}), file=sys.stderr)
sys.exit(code)
