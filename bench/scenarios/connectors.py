"""A venue's trade messages, as recorded, to ingestor lines: messages a second in one process, on one core."""

from __future__ import annotations

import functools
import gzip
import statistics
from pathlib import Path

from bench.processes import TrialFailed
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.systems.connector_base import ConnectorSystem
from bench.workbench import Workbench

_RECORDINGS = Path(__file__).parents[3] / "shared" / "fixtures"
"""Not part of the project."""
_FILES = {
    "binance": ("history/binance_spot_btcusdt_20240808.raw.gz", b'@trade"'),
    "coinbase": ("coinbase/exchange_matches_heartbeat_level2batch_btc_20260707.jsonl", b'"type":"match"'),
    "kraken": ("kraken/v2_book_trade_btc_eth_20260707.jsonl", b'"channel":"trade"'),
    "okx": ("okx/public_tickers_trades_books_20220513.jsonl", b'"channel":"trades","instId":"BTC-USDT"},"data"'),
}
_ROUND_S = 0.1


@functools.cache
def trade_messages(venue: str) -> list[bytes]:
    """Raises TrialFailed where the recordings are not here."""
    name, mark = _FILES[venue]
    path = _RECORDINGS / name
    if not path.exists():
        raise TrialFailed(f"the recorded venue messages are not here ({path})")
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = (line if line.startswith(b"{") else line.partition(b" ")[2] for line in text.splitlines())
    return [line for line in lines if mark in line and b'"result"' not in line]


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    """The median of rounds of about 0.1 s each, so that an interruption spoils a round and not the figure."""
    assert isinstance(system, ConnectorSystem)
    messages = trade_messages(point.name)
    with bench.quiet() as foreign:
        took, trades = system.normalise(point.name, messages, 1)
        repeat = max(1, round(_ROUND_S * 1e9 / max(took, 1)))
        if trades < 0.9 * len(messages):  # some venues begin with the past
            raise TrialFailed(f"only {trades} trades of {len(messages)} messages")
        rounds = []
        for _ in range(max(3, round(bench.seconds(2.0) / _ROUND_S))):
            took, _ = system.normalise(point.name, messages, repeat)
            rounds.append(took / (repeat * len(messages)))
    median = statistics.median(rounds)
    values = {"ns_per_message": median, "least_ns": min(rounds), "messages_per_s": 1e9 / median, "trades": float(trades)}
    return Outcome(values=values, foreign_cores=foreign())


SCENARIOS = (
    Scenario(
        name="connectors",
        order=200,
        title="Recorded trade messages of venues to lines, one thread",
        kind="connectors",
        points=tuple(Point(venue, f"{venue.capitalize()}'s recorded trades") for venue in _FILES),
        columns=(
            Column("messages_per_s", "messages/s", 0, "higher"),
            Column("ns_per_message", "ns/message", 0, "lower"),
            Column("least_ns", "best round", 0),
            Column("trades", "trades", 0),
        ),
        headline="ns_per_message",
        measure=_measure,
        plots={},
    ),
)
