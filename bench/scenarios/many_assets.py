"""The cost of a tick with 10, 1,000 and 10,000 assets in the arena: parsing, ranking and encoding, without a server."""

from __future__ import annotations

import functools
import statistics

from bench import lines
from bench.processes import TrialFailed
from bench.report.charts import Line, LinePoint
from bench.report.charts import lines as line_plot
from bench.results import Column, Outcome, Results, spread_of
from bench.scenarios.base import Point, Scenario
from bench.systems.base import ArenaSystem, System
from bench.workbench import Workbench

_ROUND_S = 0.1
_POINTS = tuple(Point(str(n), f"{n:,} assets", n) for n in (10, 1000, 10_000))


@functools.cache
def _lines() -> bytes:
    return lines.typical_lines()


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, ArenaSystem)
    assets = int(point.parameter)
    with bench.quiet() as foreign:
        took, _ticks = system.parse_among(_lines(), 1, assets)
        repeat = max(1, round(_ROUND_S * 1e9 / max(took, 1)))
        rounds = []
        for _ in range(max(3, round(bench.seconds(2.0) / _ROUND_S))):
            took, ticks = system.parse_among(_lines(), repeat, assets)
            if ticks != repeat * lines.LINES:
                raise TrialFailed(f"only {ticks} of {repeat * lines.LINES} ticks were accepted")
            rounds.append(took / ticks)
    return Outcome(values={"ns_per_tick": statistics.median(rounds), "least_ns": min(rounds)}, foreign_cores=foreign())


def _unavailable(system: System) -> str | None:
    return system.parse_among_missing() if isinstance(system, ArenaSystem) else None


def _plot(results: Results) -> str | None:
    systems = dict.fromkeys(m.system for m in results.measurements if m.scenario == "assets")
    drawn = [
        Line(
            system,
            [
                LinePoint(point.parameter, figure)
                for point in _POINTS
                if (figure := spread_of(results.of("assets", point.name).get(system, []), "ns_per_tick"))
            ],
        )
        for system in systems
    ]
    return line_plot(title="Cost of a tick", x_title="assets in the arena", y_title="ns per tick", drawn=drawn)


SCENARIOS = (
    Scenario(
        name="assets",
        order=15,
        title="Cost of a tick against the assets in the arena",
        kind="arena",
        points=_POINTS,
        columns=(Column("ns_per_tick", "ns/tick", 0, "lower"), Column("least_ns", "best round", 0)),
        headline="ns_per_tick",
        measure=_measure,
        plots={"assets": _plot},
        unavailable=_unavailable,
    ),
)
