"""From the ingestor's write to the subscriber's recv, at a low rate: what a tick waits for when nothing is queued."""

from __future__ import annotations

import functools

from bench.histogram import merge
from bench.report.charts import percentiles
from bench.report.plotted import plotted
from bench.results import Column, Outcome, Results
from bench.scenarios.base import Plot, Point, Scenario, outcome_of
from bench.systems.base import StreamingSystem, System
from bench.workbench import Workbench

_RATE = 1000.0
_WARM_UP_S = 0.5


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, StreamingSystem)
    seconds = bench.seconds(5.0)
    with bench.session(system, int(point.parameter)) as session:
        session.trial(_RATE, min(_WARM_UP_S, seconds))
        trial = session.trial(_RATE, seconds)
    write, due = trial.receipt.write, trial.receipt.due
    values = {f"p{str(p).replace('.', '')}_us": write.percentile(p) / 1e3 for p in (50, 90, 99, 99.9)}
    values |= {
        "max_us": write.max_ns / 1e3,
        "due_p50_us": due.percentile(50) / 1e3,
        "due_p99_us": due.percentile(99) / 1e3,
        "due_max_us": due.max_ns / 1e3,
        "late_p99_us": trial.production.late.percentile(99) / 1e3,
        "cpu_us": trial.cpu_us_per_delivery,
        "memory_kib": trial.memory_kib,
        "load_cores": trial.load_cores,
        "client_cores": trial.client_cores,
    }
    return outcome_of(trial, values)


def plot_latency(scenario: str, point: Point, results: Results) -> str | None:
    """The distribution over all repeats that were whole, for each system."""
    drawn = plotted(results, scenario, [point.name])
    return percentiles(
        title=f"Latency, {point.title}",
        curves={
            system: merge(row.histograms["write"] for row in rows if "write" in row.histograms)
            for system, rows in drawn.rows[point.name].items()
        },
        note=drawn.note,
    )


_POINTS = (Point("1", "1 subscriber, 1,000 ticks/s", 1), Point("100", "100 subscribers, 1,000 ticks/s", 100))
_PLOTS: dict[str, Plot] = {f"latency-{point.name}": functools.partial(plot_latency, "latency", point) for point in _POINTS}

SCENARIOS = (
    Scenario(
        name="latency",
        order=20,
        title="Latency from the ingestor's write (due: from its schedule) to the subscriber's recv, µs",
        kind="streaming",
        points=_POINTS,
        columns=(
            Column("p50_us", "p50", 0, "lower"),
            Column("p90_us", "p90", 0, "lower"),
            Column("p99_us", "p99", 0, "lower"),
            Column("p999_us", "p99.9", 0, "lower"),
            Column("max_us", "max", 0, "lower"),
            Column("due_p50_us", "due p50", 0, "lower"),
            Column("due_p99_us", "due p99", 0, "lower"),
            Column("cpu_us", "CPU µs", 2, "lower"),
            Column("load_cores", "load", 2),
            Column("client_cores", "client", 2),
        ),
        headline="p50_us",
        measure=_measure,
        plots=_PLOTS,
    ),
)
