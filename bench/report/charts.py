"""The three kinds of plot: latency percentiles and lines over a parameter (logarithmic), and bars.

Each returns an SVG document, or None when nothing was measured that it could show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.histogram import Histogram
from bench.report.svg import Axis, Drawing, log_axis, log_steps, short_number
from bench.results import Spread

__all__ = ["Line", "LinePoint", "bars", "lines", "percentiles"]

# Okabe and Ito's palette: told apart with any kind of colour vision.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_GRID = "#ddd"
_WIDTH, _HEIGHT = 820, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 640, 50, 380


class LinePoint(NamedTuple):
    parameter: float
    figure: Spread


class Line(NamedTuple):
    name: str
    points: list[LinePoint]


def percentiles(*, title: str, curves: dict[str, Histogram]) -> str | None:
    """Latency (log scale) against percentiles; each further nine takes as much room as the one before."""
    filled = {name: histogram for name, histogram in curves.items() if histogram.count}
    if not filled:
        return None
    drawing = Drawing(_WIDTH, _HEIGHT, title)
    most_nines = max(2.0, math.log10(max(histogram.count for histogram in filled.values())))
    labels = [(10.0**-n, f"{100 - 10.0 ** (2 - n):.{max(0, n - 2)}f} %" if n else "0 %") for n in range(int(most_nines) + 1)]
    labels.insert(1, (0.5, "50 %"))
    across = log_axis(10.0**-most_nines, 1.0, _RIGHT, _LEFT, labels)
    up = _magnitudes(min(max(h.percentile(1), 1.0) for h in filled.values()) / 1e3, max(h.max_ns for h in filled.values()) / 1e3)
    _frame(drawing, across, up, "percentile of all deliveries", "latency, µs")
    ends = []
    for (name, histogram), colour in zip(filled.items(), _colours(), strict=False):
        points = [
            (across.place(max(1 - below / 100, 10.0**-most_nines)), up.place(value / 1e3)) for below, value in histogram.curve()
        ]
        points.append((across.place(10.0**-most_nines), points[-1][1]))
        drawing.path(points, colour)
        ends.append((points[-1][1], f"{name} (p50 {_microseconds(histogram, 50)}, p99 {_microseconds(histogram, 99)})", colour))
    _legend(drawing, ends)
    return drawing.document()


def lines(*, title: str, x_title: str, y_title: str, drawn: Sequence[Line]) -> str | None:
    """Medians over a parameter, both scales logarithmic; a thick stroke from the least to the greatest repeat."""
    filled = [line for line in drawn if line.points]
    if not filled:
        return None
    drawing = Drawing(_WIDTH, _HEIGHT, title)
    parameters = sorted({point.parameter for line in filled for point in line.points})
    figures = [
        figure for line in filled for point in line.points for figure in (point.figure.least, point.figure.most) if figure > 0
    ]
    across = log_axis(parameters[0] / 1.5, parameters[-1] * 1.5, _LEFT, _RIGHT, [(value, f"{value:,.0f}") for value in parameters])
    up = _magnitudes(min(figures), max(figures))
    _frame(drawing, across, up, x_title, y_title)
    ends = []
    for line, colour in zip(filled, _colours(), strict=False):
        places = [(across.place(point.parameter), up.place(point.figure.median)) for point in line.points]
        drawing.path(places, colour)
        for (x, y), point in zip(places, line.points, strict=True):
            drawing.line(x, up.place(point.figure.least), x, up.place(point.figure.most), colour, 4)
            drawing.circle(x, y, 4, colour)
        ends.append((places[-1][1], f"{line.name} ({short_number(line.points[-1].figure.median)})", colour))
    _legend(drawing, ends)
    return drawing.document()


def bars(*, title: str, unit: str, groups: dict[str, dict[str, Spread]]) -> str | None:
    """Medians as bars from zero, in groups, each labelled with its value."""
    filled = {group: figures for group, figures in groups.items() if figures}
    if not filled:
        return None
    names = list(dict.fromkeys(name for figures in filled.values() for name in figures))
    height = 90 + sum(30 + 24 * len(figures) for figures in filled.values())
    drawing = Drawing(_WIDTH, height, title)
    drawing.text(16, 46, unit, colour="#555")
    values = [figure.median for figures in filled.values() for figure in figures.values()]
    scale = (_WIDTH - 320) / max(values)
    colours = dict(zip(names, _colours(), strict=False))
    y = 66.0
    for group, figures in filled.items():
        drawing.text(16, y + 14, group, weight="600")
        y += 24
        for name, figure in figures.items():
            drawing.text(190, y + 13, name, anchor="end")
            end = 200 + figure.median * scale
            drawing.rectangle(200, y, end - 200, 18, colours[name])
            drawing.text(end + 6, y + 13, f"{figure.median:,.0f}")
            y += 24
        y += 6
    return drawing.document()


def _colours() -> Iterable[str]:
    while True:
        yield from _COLOURS


def _magnitudes(least: float, most: float) -> Axis:
    """The vertical axis of a plot, logarithmic."""
    steps = log_steps(least, most)
    return log_axis(steps[0], steps[-1], _BOTTOM, _TOP, [(step, short_number(step)) for step in steps])


def _frame(drawing: Drawing, across: Axis, up: Axis, x_title: str, y_title: str) -> None:
    for value, label in across.ticks:
        x = across.place(value)
        drawing.line(x, _TOP, x, _BOTTOM, _GRID)
        drawing.text(x, _BOTTOM + 18, label, anchor="middle")
    for value, label in up.ticks:
        y = up.place(value)
        drawing.line(_LEFT, y, _RIGHT, y, _GRID)
        drawing.text(_LEFT - 8, y + 4, label, anchor="end")
    drawing.text((_LEFT + _RIGHT) / 2, _BOTTOM + 42, x_title, anchor="middle", colour="#555")
    drawing.text(24, (_TOP + _BOTTOM) / 2, y_title, anchor="middle", colour="#555", turned=True)


def _legend(drawing: Drawing, ends: list[tuple[float, str, str]]) -> None:
    """Names at the ends of their lines, pushed apart where they would overlap."""
    y = -math.inf
    for wanted, name, colour in sorted(ends):
        y = max(wanted + 4, y + 30)
        first, _, rest = name.partition(" (")
        drawing.text(_RIGHT + 10, y, first, colour=colour, weight="600")
        if rest:
            drawing.text(_RIGHT + 10, y + 13, rest.removesuffix(")"), size=11, colour="#555")


def _microseconds(histogram: Histogram, percent: float) -> str:
    value = histogram.percentile(percent) / 1e3
    return f"{value:,.0f} µs" if value < 10_000 else f"{value / 1e3:,.0f} ms"
