"""A reconnect storm: 2,000 subscribers are cut and dial again, all at once, while ten others go on reading."""

from __future__ import annotations

import time

from bench.load_client import Connected
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario, outcome_of
from bench.systems.base import StreamingSystem, System
from bench.workbench import Workbench

_CALM = 10
_RATE = 50.0
_AFTER_S = 0.02
"""The ten are watched a little longer than the storm lasts: until what it held up has come."""
_LONGEST_S = 35.0
"""Whoever takes longer has no figure."""


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    """The storm ends when each of the 2,000 has received a tick again. The p99 of the ten is taken of its time only."""
    assert isinstance(system, StreamingSystem)
    dialling = int(point.parameter)
    seconds = bench.seconds(4.0)
    with bench.session(system, _CALM) as session, session.others(dialling) as many:
        calm = session.trial(_RATE, seconds)
        again: list[Connected] = []

        def storm() -> None:
            session.client.mark(True)
            again.append(many.redial())
            time.sleep(_AFTER_S)
            session.client.mark(False)

        trial = session.trial(_RATE, _LONGEST_S, meanwhile=storm)
    (dialled,) = again
    ready, marked = dialled.ready_after, trial.receipt.marked
    values = {
        "reconnects_per_s": dialling / (dialled.elapsed_ns / 1e9),
        "all_after_ms": dialled.elapsed_ns / 1e6,
        "median_after_ms": ready.percentile(50) / 1e6,
        "p99_us": marked.percentile(99) / 1e3,
        "calm_p99_us": calm.receipt.write.percentile(99) / 1e3,
        "p99_ratio": marked.percentile(99) / calm.receipt.write.percentile(99),
        "memory_kib": trial.memory_kib,
    }
    return outcome_of(trial, values)


SCENARIOS = (
    Scenario(
        name="storm",
        order=50,
        title="Reconnect storm, until all stream again; p99 of 10 others meanwhile, µs",
        kind="streaming",
        points=(Point("2000", "2,000 subscribers at once, 50 ticks/s", 2000),),
        columns=(
            Column("reconnects_per_s", "reconnects/s", 0, "higher"),
            Column("all_after_ms", "all after ms", 0, "lower"),
            Column("median_after_ms", "median ms", 0, "lower"),
            Column("p99_us", "p99", 0, "lower"),
            Column("calm_p99_us", "p99 before", 0),
            Column("p99_ratio", "p99 ×", 2, "lower"),
        ),
        headline="reconnects_per_s",
        measure=_measure,
        plots={},
    ),
)
