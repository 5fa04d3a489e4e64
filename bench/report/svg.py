"""A small SVG writer: a drawing is a list of elements, axes map values to places."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple
from xml.etree import ElementTree

__all__ = ["Axis", "Drawing", "log_axis", "log_steps", "short_number"]


class Axis(NamedTuple):
    place: Callable[[float], float]
    """From a value to pixels."""
    ticks: list[tuple[float, str]]
    """Values that get a line and a label."""


def log_axis(least: float, most: float, begin: float, end: float, labelled: list[tuple[float, str]]) -> Axis:
    """``least`` (> 0) is placed at ``begin``, ``most`` at ``end``; what lies outside goes to the edge."""
    low, high = math.log10(least), math.log10(most)
    scale = (end - begin) / ((high - low) or 1.0)
    return Axis(lambda value: begin + (math.log10(min(max(value, least), most)) - low) * scale, labelled)


def log_steps(least: float, most: float) -> list[float]:
    """1, 2, 5, 10, 20, 50, … (over many decades 1, 10, …) from the one at or below a range to the one at or above."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    within = (1, 2, 5) if last - first <= 4 else (1,)
    # One power more at both ends: rounding may have taken log10 over a border.
    steps = [digit * 10.0**power for power in range(first - 1, last + 2) for digit in within]
    low = max(step for step in steps if step <= least)
    high = min(step for step in steps if step >= most and step > low)
    return [step for step in steps if low <= step <= high]


def short_number(value: float) -> str:
    """1500 → 1.5k, 25e6 → 25M."""
    for limit, ending in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{ending}"
    return f"{value:.3g}"


class Drawing:
    """Elements are drawn in the order in which they are added; :meth:`document` returns the whole."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": str(width),
                "height": str(height),
                "viewBox": f"0 0 {width} {height}",
                "font-family": "system-ui, sans-serif",
                "role": "img",
                "aria-label": title,
            },
        )
        self._add("title").text = title
        self._add("rect", width="100%", height="100%", fill="#fff")  # a white ground: to be read on dark pages too
        self.text(16, 26, title, size=16, weight="600")

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width)

    def path(self, points: list[tuple[float, float]], colour: str, width: float = 2.0, *, dashes: str = "") -> None:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        broken = {"stroke-dasharray": dashes} if dashes else {}
        self._add("polyline", points=places, fill="none", stroke=colour, stroke_width=width, stroke_linejoin="round", **broken)

    def circle(self, x: float, y: float, radius: float, colour: str) -> None:
        self._add("circle", cx=x, cy=y, r=radius, fill=colour)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._add("rect", x=x, y=y, width=max(width, 0.0), height=height, fill=colour)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 12,
        anchor: str = "start",
        colour: str = "#222",
        weight: str = "400",
        turned: bool = False,
    ) -> None:
        element = self._add("text", x=x, y=y, font_size=size, text_anchor=anchor, fill=colour, font_weight=weight)
        element.text = text
        if turned:
            element.set("transform", f"rotate(-90 {x:.1f} {y:.1f})")

    def document(self) -> str:
        ElementTree.indent(self._root, space="")
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"

    def _add(self, tag: str, **attributes: str | float) -> ElementTree.Element:
        """Underscores in names stand for hyphens; numbers are written with one decimal."""
        named = {
            name.replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value) for name, value in attributes.items()
        }
        return ElementTree.SubElement(self._root, tag, named)
