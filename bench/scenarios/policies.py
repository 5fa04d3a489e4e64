"""What it costs subscribers without a policy that others have one: 100 plain ones, beside two more."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from bench.histogram import merge
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario, percentiles_of
from bench.systems.base import PolicySystem, System
from bench.workbench import Session, Trial, Workbench

_PLAIN = 100
_PAIRS = 4
_WARM_UP_S = 0.5
_RATES = {"2000": 2_000.0, "40000": 40_000.0}
"""The first one shows a wake-up for each tick; at the second one many ticks go out in one send, so that work on each counts."""
_SAMPLE_EVERY = {"2000": 1, "40000": 37}


class _Pair(NamedTuple):
    without: Trial
    beside: Trial


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    """In turn: beside two more plain subscribers, and beside one that conflates and one with a greatest rate. All that the
    system does is put down to the plain deliveries, the work for the two as well: so the ratio is an upper bound."""
    assert isinstance(system, PolicySystem)
    rate = _RATES[point.name]
    seconds = bench.seconds(6.0) / (2 * _PAIRS)

    def trial(session: Session, policies: bool) -> Trial:
        with session.others(2, changed=system.with_policies if policies else None):
            return session.trial(rate, seconds, sample_every=_SAMPLE_EVERY[point.name])

    with bench.session(system, _PLAIN) as session:
        session.trial(rate, min(_WARM_UP_S, seconds))
        pairs = []
        for i in range(_PAIRS):  # each kind is as often the first of its pair as the second
            first, second = trial(session, i % 2 == 1), trial(session, i % 2 == 0)
            pairs.append(_Pair(second, first) if i % 2 else _Pair(first, second))
    beside = merge([pair.beside.receipt.write for pair in pairs])
    without = merge([pair.without.receipt.write for pair in pairs])
    values = percentiles_of(beside) | percentiles_of(without, prefix="without_")
    values |= {
        "cpu_us": statistics.median(pair.beside.cpu_us_per_delivery for pair in pairs),
        "without_cpu_us": statistics.median(pair.without.cpu_us_per_delivery for pair in pairs),
        "cpu_ratio": statistics.median(pair.beside.cpu_us_per_delivery / pair.without.cpu_us_per_delivery for pair in pairs),
        "p99_ratio": values["p99_us"] / values["without_p99_us"],
        "load_cores": statistics.median(pair.beside.load_cores for pair in pairs),
    }
    trials = [trial for pair in pairs for trial in pair]
    return Outcome(
        values=values,
        histograms={"write": beside, "without": without},
        complete=all(trial.complete for trial in trials),
        problem=next((trial.loss for trial in trials if trial.loss), None),
        foreign_cores=max(trial.foreign_cores for trial in trials),
    )


SCENARIOS = (
    Scenario(
        name="policies",
        order=65,
        title="100 plain subscribers without and with two beside them that have policies, for each plain delivery",
        kind="policies",
        points=tuple(Point(name, f"{rate:,.0f} ticks/s", rate) for name, rate in _RATES.items()),
        columns=(
            Column("cpu_ratio", "CPU ×", 3, "lower"),
            Column("cpu_us", "CPU µs", 3, "lower"),
            Column("without_cpu_us", "CPU µs without", 3),
            Column("p50_us", "p50", 0, "lower"),
            Column("without_p50_us", "p50 without", 0),
            Column("p99_us", "p99", 0, "lower"),
            Column("without_p99_us", "p99 without", 0),
            Column("p99_ratio", "p99 ×", 2, "lower"),
            Column("load_cores", "load", 2),
        ),
        headline="cpu_ratio",
        measure=_measure,
        plots={},
    ),
)
