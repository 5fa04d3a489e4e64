"""Every tick to many subscribers at a fixed rate: latency, and what a delivery costs."""

from __future__ import annotations

import functools

from bench.results import Column, Outcome
from bench.scenarios.base import Plot, Point, Scenario, outcome_of, percentiles_of
from bench.scenarios.latency import plot_latency
from bench.systems.base import StreamingSystem, System
from bench.workbench import Workbench

_RATES = {"10x200": (10, 200.0), "100x2000": (100, 2000.0), "1000x200": (1000, 200.0)}
_POINTS = tuple(
    Point(name, f"{subscribers:,} subscribers, {rate:,.0f} ticks/s", subscribers) for name, (subscribers, rate) in _RATES.items()
)
_WARM_UP_S = 0.5
_PLOTS: dict[str, Plot] = {f"fan-out-{point.name}": functools.partial(plot_latency, "fan-out", point) for point in _POINTS[1:]}


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, StreamingSystem)
    subscribers, rate = _RATES[point.name]
    seconds = bench.seconds(5.0)
    with bench.session(system, subscribers) as session:
        session.trial(rate, min(_WARM_UP_S, seconds))
        trial = session.trial(rate, seconds)
    values = percentiles_of(trial.receipt.write) | {
        "due_p99_us": trial.receipt.due.percentile(99) / 1e3,
        "cpu_us": trial.cpu_us_per_delivery,
        "deliveries_per_s": trial.deliveries_per_s,
        "memory_kib": trial.memory_kib,
        "load_cores": trial.load_cores,
        "client_cores": trial.client_cores,
    }
    return outcome_of(trial, values)


SCENARIOS = (
    Scenario(
        name="fan-out",
        order=25,
        title="Fan-out at a fixed rate, latency in µs",
        kind="streaming",
        points=_POINTS,
        columns=(
            Column("cpu_us", "CPU µs", 2, "lower"),
            Column("p50_us", "p50", 0, "lower"),
            Column("p99_us", "p99", 0, "lower"),
            Column("p999_us", "p99.9", 0, "lower"),
            Column("due_p99_us", "due p99", 0, "lower"),
            Column("deliveries_per_s", "deliveries/s", 0, "higher"),
            Column("load_cores", "load", 2),
            Column("client_cores", "client", 2),
        ),
        headline="cpu_us",
        measure=_measure,
        plots=_PLOTS,
    ),
)
