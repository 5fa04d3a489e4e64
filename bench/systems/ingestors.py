"""Our own connectors: the mapper, pipeline and line writer of an ingestor, as it runs behind its socket."""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from typing import Any

from bench.systems.base import versions_of
from bench.systems.connector_base import ConnectorSystem

_MAPPERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "binance": ("binance.mapper", "BinanceMapper", {"BTCUSDT": "BTC/USDT"}),
    "coinbase": ("coinbase.exchange", "ExchangeMapper", {"BTC-USD": "BTC/USD"}),
    "kraken": ("kraken.mapper", "KrakenMapper", {"BTC/USD": "BTC/USD", "ETH/USD": "ETH/USD"}),
    "okx": ("okx", "OkxMapper", {"BTC-USDT": "BTC/USDT"}),
}
"""Module, class, and symbols of the recordings."""


def _ours(module: str, name: str) -> Any:
    """By name: the ingestors are a distribution of their own to type checkers."""
    return getattr(importlib.import_module(f"finstream_ingestors.{module}"), name)


class Ingestors(ConnectorSystem):
    name = "ingestors"
    work = "typed"
    note = "connectors: one write for each message, as under light load"

    def missing(self) -> str | None:
        return None if importlib.util.find_spec("msgspec") else "pip install 'finstream[ingestors]'"

    def versions(self) -> dict[str, str]:
        return versions_of("msgspec")

    def normalise(self, venue: str, messages: list[bytes], repeat: int) -> tuple[int, int]:
        make_ledger, make_pipeline = _ours("kit.ledger", "Ledger"), _ours("kit.pipeline", "Pipeline")
        module, name, symbols = _MAPPERS[venue]
        make_mapper = _ours(module, name)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            writer = _ours("kit.lines", "LineWriter")(nowhere)
            ledgers = [make_ledger() for _ in range(repeat)]
            pipelines = [make_pipeline(make_mapper(symbols, ledger), writer, ledger) for ledger in ledgers]
            began = time.thread_time_ns()
            for pipeline in pipelines:
                for message in messages:
                    pipeline.take(message, time.time_ns())
                    writer.flush()
            return time.thread_time_ns() - began, sum(ledger.tally.trades for ledger in ledgers)
        finally:
            os.close(nowhere)


SYSTEMS = (Ingestors(),)
