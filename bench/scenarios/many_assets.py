"""The cost of a tick with 10, 1,000 and 10,000 assets in the arena: parsing, ranking and encoding, without a server.

What a tick touches is the memory of its asset and of its symbol there. `assets` asks for the price of the assets alone, so
there are 10,000 symbols at each of its points: the same lines in the same order, spread over ever more assets. In
`assets-and-symbols` each asset has all eight symbols of the typical lines, so that their memory grows too, to 80,000
symbols.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

from bench import lines
from bench.processes import TrialFailed
from bench.report.charts import Line, LinePoint
from bench.report.charts import lines as line_plot
from bench.report.plotted import plotted
from bench.results import Column, Outcome, Results, spread_of
from bench.scenarios.base import Point, Scenario
from bench.systems.base import ArenaSystem, System
from bench.workbench import Workbench

_ROUND_S = 0.1
_ASSETS = (10, 1000, 10_000)
_symbol_lines = functools.cache(lines.symbol_lines)
_typical_lines = functools.cache(lines.typical_lines)


def _measure(make: Callable[[], bytes], bench: Workbench, system: System, point: Point) -> Outcome:
    """Rounds with few assets and with those of the point in turn: what the machine does to one it does to the other, so
    their ratio is worth more than that of two measurements."""
    assert isinstance(system, ArenaSystem)
    assets, text = int(point.parameter), make()

    def round_ns(assets: int) -> float:
        took, ticks = system.parse_among(text, repeat, assets)
        if ticks != repeat * count:
            raise TrialFailed(f"only {ticks} of {repeat * count} ticks were accepted")
        return took / ticks

    count = text.count(b"\n")
    with bench.quiet() as foreign:
        took, _ticks = system.parse_among(text, 1, assets)
        repeat = max(1, round(_ROUND_S * 1e9 / max(took, 1)))
        pairs = [(round_ns(_ASSETS[0]), round_ns(assets)) for _ in range(max(3, round(bench.seconds(2.0) / _ROUND_S)))]
    rounds = [many for _few, many in pairs]
    values = {
        "ns_per_tick": statistics.median(rounds),
        "least_ns": min(rounds),
        "over_few": statistics.median(many / few for few, many in pairs),
    }
    return Outcome(values=values, foreign_cores=foreign())


def _unavailable(system: System) -> str | None:
    return system.parse_among_missing() if isinstance(system, ArenaSystem) else None


def _scenario(name: str, order: int, title: str, make: Callable[[], bytes], point_title: Callable[[int], str]) -> Scenario:
    points = tuple(Point(str(assets), point_title(assets), assets) for assets in _ASSETS)

    def plot(results: Results) -> str | None:
        drawn = []
        shown = plotted(results, name, [point.name for point in points])
        for system in dict.fromkeys(m.system for m in results.measurements if m.scenario == name):
            rows = [(point.parameter, shown.rows[point.name].get(system, [])) for point in points]
            figures = [(assets, spread_of(measured, "ns_per_tick")) for assets, measured in rows]
            drawn.append(Line(system, [LinePoint(assets, figure) for assets, figure in figures if figure]))
        return line_plot(title=title, x_title="assets in the arena", y_title="ns per tick", drawn=drawn, note=shown.note)

    return Scenario(
        name=name,
        order=order,
        title=title,
        kind="arena",
        points=points,
        columns=(
            Column("ns_per_tick", "ns/tick", 0, "lower"),
            Column("least_ns", "best round", 0),
            Column("over_few", f"over {_ASSETS[0]} assets ×", 2, "lower"),
        ),
        headline="ns_per_tick",
        measure=functools.partial(_measure, make),
        plots={name: plot},
        unavailable=_unavailable,
    )


SCENARIOS = (
    _scenario(
        "assets",
        15,
        "Cost of a tick against the assets in the arena, 10,000 symbols in all",
        _symbol_lines,
        lambda assets: f"{assets:,} assets" + (f" with {lines.SYMBOLS // assets:,} symbols each" if assets < lines.SYMBOLS else ""),
    ),
    _scenario(
        "assets-and-symbols",
        16,
        "Cost of a tick when symbols grow with the assets, 8 symbols each",
        _typical_lines,
        lambda assets: f"{assets:,} assets, {8 * assets:,} symbols",
    ),
)
