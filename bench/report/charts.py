"""The three kinds of plot: latency percentiles and lines over a parameter (logarithmic), and bars.

Each returns an SVG document, or None when nothing was measured that it could show.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.histogram import Histogram
from bench.report.svg import Axis, Drawing, log_axis, log_steps, short_number
from bench.results import Spread

__all__ = ["Line", "LinePoint", "bars", "lines", "percentiles"]

# Okabe and Ito's palette: told apart with any kind of colour vision. When they are used up they come again, in dashes.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("", "7 3", "2 2")
_GRID = "#ddd"
_WIDTH, _HEIGHT = 820, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 640, 50, 380


class _Style(NamedTuple):
    colour: str
    dashes: str = ""
    width: float = 1.8


class _Entry(NamedTuple):
    """Of a legend."""

    wanted: float
    """Where its line ends."""
    name: str
    figures: str
    style: _Style


class LinePoint(NamedTuple):
    parameter: float
    figure: Spread


class Line(NamedTuple):
    name: str
    points: list[LinePoint]


def percentiles(*, title: str, curves: dict[str, Histogram], note: str = "") -> str | None:
    """Latency (log) against percentiles; each further nine takes as much room as the one before. ``note``: under the title."""
    filled = {name: histogram for name, histogram in curves.items() if histogram.count}
    if not filled:
        return None
    drawing = Drawing(_WIDTH, _HEIGHT, title)
    if note:
        drawing.text(16, 42, note, size=11, colour="#555")
    most_nines = max(2.0, math.log10(max(histogram.count for histogram in filled.values())))
    labels = [(10.0**-n, f"{100 - 10.0 ** (2 - n):.{max(0, n - 2)}f} %" if n else "0 %") for n in range(int(most_nines) + 1)]
    labels.insert(1, (0.5, "50 %"))
    across = log_axis(10.0**-most_nines, 1.0, _RIGHT, _LEFT, labels)
    up = _magnitudes(min(max(h.percentile(1), 1.0) for h in filled.values()) / 1e3, max(h.max_ns for h in filled.values()) / 1e3)
    _frame(drawing, across, up, "percentile of all deliveries", "latency, µs")
    ends = []
    for (name, histogram), style in zip(filled.items(), _styles(), strict=False):
        points = [
            (across.place(max(1 - below / 100, 10.0**-most_nines)), up.place(value / 1e3)) for below, value in histogram.curve()
        ]
        points.append((across.place(10.0**-most_nines), points[-1][1]))
        drawing.path(points, style.colour, style.width, dashes=style.dashes)
        figures = f"p50 {_microseconds(histogram, 50)}, p99 {_microseconds(histogram, 99)}"
        ends.append(_Entry(points[-1][1], name, figures, style))
    _legend(drawing, ends)
    return drawing.document()


def lines(*, title: str, x_title: str, y_title: str, drawn: Sequence[Line], note: str = "") -> str | None:
    """Medians over a parameter, both scales logarithmic; a thick stroke from the least to the greatest repeat. ``note``: below the
    title."""
    filled = [line for line in drawn if line.points]
    if not filled:
        return None
    drawing = Drawing(_WIDTH, _HEIGHT, title)
    if note:
        drawing.text(16, 42, note, size=11, colour="#555")
    parameters = sorted({point.parameter for line in filled for point in line.points})
    figures = [
        figure for line in filled for point in line.points for figure in (point.figure.least, point.figure.most) if figure > 0
    ]
    across = log_axis(parameters[0] / 1.5, parameters[-1] * 1.5, _LEFT, _RIGHT, [(value, f"{value:,.0f}") for value in parameters])
    up = _magnitudes(min(figures), max(figures))
    _frame(drawing, across, up, x_title, y_title)
    ends = []
    for line, style in zip(filled, _styles(), strict=False):
        places = [(across.place(point.parameter), up.place(point.figure.median)) for point in line.points]
        drawing.path(places, style.colour, style.width, dashes=style.dashes)
        for (x, y), point in zip(places, line.points, strict=True):
            drawing.line(x, up.place(point.figure.least), x, up.place(point.figure.most), style.colour, 4)
            drawing.circle(x, y, 4, style.colour)
        ends.append(_Entry(places[-1][1], line.name, short_number(line.points[-1].figure.median), style))
    _legend(drawing, ends)
    return drawing.document()


def bars(*, title: str, unit: str, groups: dict[str, dict[str, Spread]], note: str = "") -> str | None:
    """Medians as bars from zero, in groups, each labelled with its value. ``note``: below the title."""
    filled = {group: figures for group, figures in groups.items() if figures}
    if not filled:
        return None
    names = list(dict.fromkeys(name for figures in filled.values() for name in figures))
    height = 90 + sum(30 + 24 * len(figures) for figures in filled.values())
    drawing = Drawing(_WIDTH, height, title)
    drawing.text(16, 46, f"{unit}; {note}" if note else unit, colour="#555")
    values = [figure.median for figures in filled.values() for figure in figures.values()]
    scale = (_WIDTH - 320) / max(values)
    colours = {name: style.colour for name, style in zip(names, _styles(), strict=False)}
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


def _styles() -> Iterator[_Style]:
    """The first one, of what the others are compared with, is the boldest."""
    yield _Style(_COLOURS[0], width=3.0)
    for dashes in itertools.cycle(_DASHES):
        yield from (_Style(colour, dashes) for colour in _COLOURS[0 if dashes else 1 :])


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


def _legend(drawing: Drawing, entries: list[_Entry]) -> None:
    """Names beside the ends of their lines, pushed apart where they would overlap, and up again where they would fall off."""
    ordered = sorted(entries, key=lambda entry: entry.wanted)
    room = min(28.0, (_HEIGHT - _TOP) / len(ordered))
    places: list[float] = []
    for entry in ordered:
        places.append(max(entry.wanted, places[-1] + room if places else _TOP))
    lowest = _HEIGHT - 22.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], lowest)
        lowest = places[i] - room
    for entry, y in zip(ordered, places, strict=True):
        drawing.path([(_RIGHT + 8, y), (_RIGHT + 30, y)], entry.style.colour, entry.style.width, dashes=entry.style.dashes)
        drawing.text(_RIGHT + 36, y + 4, entry.name, weight="600")
        drawing.text(_RIGHT + 36, y + 16, entry.figures, size=10, colour="#555")


def _microseconds(histogram: Histogram, percent: float) -> str:
    value = histogram.percentile(percent) / 1e3
    return f"{value:,.0f} µs" if value < 10_000 else f"{value / 1e3:,.0f} ms"
