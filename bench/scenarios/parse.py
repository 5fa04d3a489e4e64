"""Parse, validate, normalise, take the lag, rank and encode: nanoseconds a tick, one thread, no system calls."""

from __future__ import annotations

import functools
import statistics

from bench import lines
from bench.processes import TrialFailed
from bench.report.charts import bars
from bench.report.plotted import plotted
from bench.results import Column, Outcome, Results, spread_of
from bench.scenarios.base import Point, Scenario
from bench.systems.base import ParsingSystem, System
from bench.workbench import Workbench

_MAKERS = {"short": lines.short_lines, "typical": lines.typical_lines, "long": lines.long_lines, "hostile": lines.hostile_lines}
_POINTS = (
    Point("short", "short lines (about 60 bytes)"),
    Point("typical", "typical lines (about 145 bytes)"),
    Point("long", "long lines (about 700 bytes)"),
    Point("hostile", "hostile lines (about 300 bytes, half of them to be refused)"),
)
_ROUND_S = 0.1


@functools.cache
def _lines(kind: str) -> bytes:
    return _MAKERS[kind]()


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    """The median of rounds of about 0.1 s each, so that an interruption spoils a round and not the figure."""
    assert isinstance(system, ParsingSystem)
    text = _lines(point.name)
    with bench.quiet() as foreign:
        took, ticks = system.parse(text, 1)
        repeat = max(1, round(_ROUND_S * 1e9 / max(took, 1)))
        rounds = []
        for _ in range(max(3, round(bench.seconds(2.0) / _ROUND_S))):
            took, ticks = system.parse(text, repeat)
            rounds.append(took / (repeat * lines.LINES))
            if ticks != repeat * lines.LINES and point.name != "hostile":
                raise TrialFailed(f"only {ticks} of {repeat * lines.LINES} ticks were accepted")
    median = statistics.median(rounds)
    bytes_each = len(text) / lines.LINES
    values = {
        "ns_per_tick": median,
        "least_ns": min(rounds),
        "ticks_per_s": 1e9 / median,
        "mb_per_s": bytes_each * 1e3 / median,
        "accepted": ticks / (repeat * lines.LINES),
    }
    return Outcome(values=values, foreign_cores=foreign())


def _plot(results: Results) -> str | None:
    shown = plotted(results, "parse", [point.name for point in _POINTS])
    return bars(
        title="Parse, validate, normalise, lag, rank, encode",
        unit="ns per tick",
        groups={
            point.title: {
                system: figure for system, rows in shown.rows[point.name].items() if (figure := spread_of(rows, "ns_per_tick"))
            }
            for point in _POINTS
        },
        note=shown.note,
    )


SCENARIOS = (
    Scenario(
        name="parse",
        order=10,
        title="Parse and encode, one thread",
        kind="parsing",
        points=_POINTS,
        columns=(
            Column("ns_per_tick", "ns/tick", 0, "lower"),
            Column("least_ns", "best round", 0),
            Column("ticks_per_s", "ticks/s", 0, "higher"),
            Column("mb_per_s", "MB/s", 0),
            Column("accepted", "accepted", 2),
        ),
        headline="ns_per_tick",
        measure=_measure,
        plots={"parse": _plot},
    ),
)
