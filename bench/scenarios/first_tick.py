"""From a subscription to its first tick when the ingestor has to be started for it, over the ingestor's own bare start."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.load_client import LoadClient
from bench.processes import TrialFailed
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario
from bench.systems.base import OnDemandSystem, System
from bench.workbench import Workbench

_SHELL = """printf '{"symbol":"BTC/USDT","price":"67123.45","ts":%s,"trade_id":"1000000000"}\\n' "$(date +%s%N)"; exec sleep 60"""
_PYTHON = """
import json, sys, time
tick = {"symbol": "BTC/USDT", "price": "67123.45", "ts": time.time_ns(), "trade_id": "1000000000"}
sys.stdout.write(json.dumps(tick) + "\\n")
sys.stdout.flush()
time.sleep(60)
"""
_INGESTORS = {"shell": ["/bin/sh", "-c", _SHELL], "python": [sys.executable, "-S", "-c", _PYTHON]}
_POINTS = (Point("shell", "an ingestor of one line of shell"), Point("python", "an ingestor of a few lines of Python"))
_TIMES = 5


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    """Medians of a few starts, each with an engine of its own."""
    assert isinstance(system, OnDemandSystem)
    bare, first = [], []
    for _ in range(_TIMES):
        bare.append(_bare_start_ms(_INGESTORS[point.name]))
        with bench.folder() as directory:
            first.append(_first_tick_ms(bench, system, directory, _INGESTORS[point.name]))
    values = {
        "first_tick_ms": statistics.median(first),
        "bare_ms": statistics.median(bare),
        "over_ms": statistics.median(first) - statistics.median(bare),
        "worst_over_ms": max(first) - statistics.median(bare),
    }
    return Outcome(values=values)


def _bare_start_ms(command: list[str]) -> float:
    """From starting the ingestor to its first whole line."""
    began = time.perf_counter_ns()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if not process.stdout.readline().endswith(b"\n"):
            raise TrialFailed(f"{command[0]} gave no line")
        return (time.perf_counter_ns() - began) / 1e6
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _first_tick_ms(bench: Workbench, system: OnDemandSystem, directory: Path, command: list[str]) -> float:
    """From the subscriber's request to its first tick."""
    with system.waiting(directory, command) as running:
        client: LoadClient = bench.connect(running.endpoint(1), 1, directory, ready_at_tick=True)
        with client:
            return client.connected.answered_after.percentile(100) / 1e6


SCENARIOS = (
    Scenario(
        name="first-tick",
        order=90,
        title="From subscription to first tick",
        kind="on demand",
        points=_POINTS,
        columns=(
            Column("over_ms", "over bare start ms", 1, "lower"),
            Column("first_tick_ms", "first tick ms", 1, "lower"),
            Column("bare_ms", "bare start ms", 1),
            Column("worst_over_ms", "worst over ms", 1, "lower"),
        ),
        headline="over_ms",
        measure=_measure,
        plots={},
    ),
)
