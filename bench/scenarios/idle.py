"""Many connections to which little comes: memory for each, and what one tick to all of them costs."""

from __future__ import annotations

import resource
import time

from bench.processes import TrialFailed, cpu_ns, process_tree, settled
from bench.report.charts import Line, LinePoint, lines
from bench.report.plotted import plotted
from bench.results import Column, Outcome, Results, spread_of
from bench.scenarios.base import Point, Scenario, outcome_of
from bench.systems.base import StreamingSystem, System
from bench.workbench import Workbench

_POINTS = tuple(Point(str(n), f"{n:,} connections", n) for n in (1000, 3000, 10_000))
_RATE = 5.0
_WATCHED_S = 1.0
_DESCRIPTORS_BESIDE = 100


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, StreamingSystem)
    connections = int(point.parameter)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed < connections + _DESCRIPTORS_BESIDE:
        raise TrialFailed(f"at most {allowed} open files are allowed here (ulimit -Hn)")
    seconds = bench.seconds(2.0)
    with bench.session(system, connections, weighed=True) as session:
        connected_kib = settled(session.anonymous_kib)
        pids = process_tree(session.system.pids)
        before = cpu_ns(pids)
        watched_s = min(_WATCHED_S, seconds)
        time.sleep(watched_s)
        idle_cores = (cpu_ns(pids) - before) / 1e9 / watched_s
        trial = session.trial(_RATE, max(seconds, 1 / _RATE))
        after_kib = session.anonymous_kib()
        dialled = session.client.connected
    ticks = max(1, trial.production.sent)
    values = {
        "kib_each": kib_each(session.bare_kib, connected_kib, connections),
        "kib_each_after": kib_each(session.bare_kib, after_kib, connections),
        "memory_mib": trial.memory_kib / 1024,
        "tick_cpu_ms": trial.system_cpu_s * 1e3 / ticks,
        "cpu_us": trial.cpu_us_per_delivery,
        "all_have_it_ms": trial.receipt.write.percentile(99.9) / 1e6,
        "idle_cores": idle_cores,
        "connections_per_s": connections / (dialled.elapsed_ns / 1e9),
        "client_cores": trial.client_cores,
    }
    return outcome_of(trial, values)


def kib_each(bare_kib: int, connected_kib: int, connections: int) -> float:
    """Raises TrialFailed when the memory has not grown: then more was let go meanwhile than connections took."""
    if connected_kib <= bare_kib:
        raise TrialFailed(f"its memory went from {bare_kib:,} KiB to {connected_kib:,} while {connections:,} connections came")
    return (connected_kib - bare_kib) / connections


def _plot(results: Results) -> str | None:
    shown = plotted(results, "idle", [point.name for point in _POINTS])
    drawn = [
        Line(
            system,
            [
                LinePoint(point.parameter, figure)
                for point in _POINTS
                if (figure := spread_of(shown.rows[point.name].get(system, []), "memory_mib"))
            ],
        )
        for system in dict.fromkeys(m.system for m in results.measurements if m.scenario == "idle")
    ]
    return lines(title="Memory against connections", x_title="connections", y_title="MiB", drawn=drawn, note=shown.note)


SCENARIOS = (
    Scenario(
        name="idle",
        order=40,
        title="Mostly idle connections",
        kind="streaming",
        points=_POINTS,
        columns=(
            Column("kib_each", "KiB each", 2, "lower"),
            Column("kib_each_after", "after ticks", 2, "lower"),
            Column("memory_mib", "all MiB", 0, "lower"),
            Column("tick_cpu_ms", "CPU ms/tick", 2, "lower"),
            Column("all_have_it_ms", "p99.9 ms", 1, "lower"),
            Column("idle_cores", "idle cores", 3, "lower"),
            Column("connections_per_s", "connects/s", 0, "higher"),
            Column("client_cores", "client", 2),
        ),
        headline="kib_each",
        measure=_measure,
        plots={"memory": _plot},
    ),
)
