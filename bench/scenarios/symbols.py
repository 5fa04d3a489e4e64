"""Subscriptions to single symbols: 1,000 symbols, 100 subscribers with 10 of them each."""

from __future__ import annotations

from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario, outcome_of, percentiles_of
from bench.systems.base import SymbolSystem, System
from bench.workbench import Workbench

_SYMBOLS, _SUBSCRIBERS, _EACH = 1000, 100, 10
_RATE = 20_000.0
_WARM_UP_S = 0.5


def _measure(bench: Workbench, system: System, _point: Point) -> Outcome:
    """Each tick goes to one subscriber: what is measured is finding it. CPU is told for each tick taken in."""
    assert isinstance(system, SymbolSystem)
    seconds = bench.seconds(4.0)
    with bench.session(system, _SUBSCRIBERS, symbols=_SYMBOLS, symbols_each=_EACH) as session:
        session.trial(_RATE, min(_WARM_UP_S, seconds))
        trial = session.trial(_RATE, seconds)
    values = percentiles_of(trial.receipt.write) | {
        "cpu_us": trial.system_cpu_s * 1e6 / max(1, trial.production.sent),
        "due_p99_us": trial.receipt.due.percentile(99) / 1e3,
        "load_cores": trial.load_cores,
        "client_cores": trial.client_cores,
    }
    return outcome_of(trial, values)


SCENARIOS = (
    Scenario(
        name="symbols",
        order=70,
        title="Subscriptions to single symbols, latency in µs",
        kind="symbols",
        points=(Point("1000", "1,000 symbols, 100 subscribers with 10 each, 20,000 ticks/s", _SYMBOLS),),
        columns=(
            Column("cpu_us", "CPU µs/tick", 2, "lower"),
            Column("p50_us", "p50", 0, "lower"),
            Column("p99_us", "p99", 0, "lower"),
            Column("p999_us", "p99.9", 0, "lower"),
            Column("due_p99_us", "due p99", 0, "lower"),
            Column("load_cores", "load", 2),
            Column("client_cores", "client", 2),
        ),
        headline="cpu_us",
        measure=_measure,
        plots={},
    ),
)
