"""Venue messages by ``json`` and ``Decimal``, in the manner of the cryptofeed library: parse, make a typed trade with exact
decimals and a float time, and write it as JSON as its backends do. Its loops, locks and callbacks are left out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from bench.systems.connector_base import ConnectorSystem


@dataclass(slots=True)
class _Trade:
    exchange: str
    symbol: str
    side: str
    amount: Decimal
    price: Decimal
    timestamp: float
    id: str
    receipt_timestamp: float


def _binance(message: Any, now: float) -> Iterator[_Trade]:
    data = message["data"]
    symbol = data["s"].replace("USDT", "-USDT")
    side = "sell" if data["m"] else "buy"
    yield _Trade("BINANCE", symbol, side, Decimal(data["q"]), Decimal(data["p"]), data["T"] / 1000, str(data["t"]), now)


def _coinbase(message: Any, now: float) -> Iterator[_Trade]:
    side = "sell" if message["side"] == "buy" else "buy"
    at = datetime.fromisoformat(message["time"]).timestamp()
    size, price = Decimal(message["size"]), Decimal(message["price"])
    yield _Trade("COINBASE", message["product_id"], side, size, price, at, str(message["trade_id"]), now)


def _kraken(message: Any, now: float) -> Iterator[_Trade]:
    for row in message["data"]:
        at = datetime.fromisoformat(row["timestamp"]).timestamp()
        symbol = row["symbol"].replace("/", "-")
        yield _Trade("KRAKEN", symbol, row["side"], row["qty"], row["price"], at, str(row["trade_id"]), now)


def _okx(message: Any, now: float) -> Iterator[_Trade]:
    for row in message["data"]:
        size, price = Decimal(row["sz"]), Decimal(row["px"])
        yield _Trade("OKX", row["instId"], row["side"], size, price, int(row["ts"]) / 1000, row["tradeId"], now)


_VENUES: dict[str, Callable[[Any, float], Iterator[_Trade]]] = {
    "binance": _binance, "coinbase": _coinbase, "kraken": _kraken, "okx": _okx,
}  # fmt: skip


class JsonDecimal(ConnectorSystem):
    name = "json-decimal"
    work = "typed"
    note = "connectors: no bid and ask in the trade, no check for repeated trades or holes, time as a float"

    def missing(self) -> str | None:
        return None

    def versions(self) -> dict[str, str]:
        return {}

    def normalise(self, venue: str, messages: list[bytes], repeat: int) -> tuple[int, int]:
        trades_of, trades = _VENUES[venue], 0
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            began = time.thread_time_ns()
            for _ in range(repeat):
                for message in messages:
                    for trade in trades_of(json.loads(message, parse_float=Decimal), time.time()):
                        os.write(nowhere, json.dumps(asdict(trade), default=str).encode() + b"\n")
                        trades += 1
            return time.thread_time_ns() - began, trades
        finally:
            os.close(nowhere)


SYSTEMS = (JsonDecimal(),)
