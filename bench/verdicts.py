"""What a bar is, and how the measurements of a run are held against it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from bench.results import Measurement, Results, Spread, spread

__all__ = ["Bar", "Figure", "Standing", "Verdict", "verdict_on"]

Standing = Literal["met", "missed", "not whole", "failed", "too short", "disturbed", "not measured", "no bar"]


class Figure(NamedTuple):
    """One number for each repeat, made of one ``key`` at one or several places of a scenario."""

    scenario: str
    key: str
    places: tuple[tuple[str, str], ...]
    """Points and systems that it takes."""
    made: Callable[..., float] = float
    """Of the values at the places, in their order."""


class Bar(NamedTuple):
    what: str
    figure: Figure
    sense: Literal["≤", "≥"]
    limit: float | None
    """None: no bar but a figure to judge the one above it by."""
    unit: str
    """After the number; ``×`` for ratios."""
    digits: int


class Verdict(NamedTuple):
    bar: Bar
    measured: Spread | None
    """Over the repeats that were whole; None: there is none."""
    repeats: int
    """In how many all that the figure takes was tried."""
    whole: int
    """In how many of them everything reached everybody and gave a figure: what loses ticks is another service."""
    failed: int
    """In how many there was no figure at all."""
    brief: bool
    """Some of what was measured took less time than its scenario takes by itself."""
    disturbed: bool
    """Other programs disturbed some of what was measured."""

    @property
    def standing(self) -> Standing:
        """``met`` and ``missed`` rest on whole, undisturbed measurements of full length only; by the median over the repeats."""
        if not self.repeats:
            return "not measured"
        if self.measured is None and self.failed:
            return "failed"
        if self.whole < self.repeats:
            return "not whole"
        if self.brief:
            return "too short"
        if self.disturbed:
            return "disturbed"
        if self.bar.limit is None:
            return "no bar"
        return "met" if self._within(self.bar.limit) else "missed"

    @property
    def met(self) -> bool | None:
        """None when the measurements do not tell, or it is no bar."""
        return {"met": True, "missed": False}.get(self.standing)

    @property
    def flaws(self) -> list[str]:
        """Why it is neither met nor missed, in few words; empty when all is well or nothing was measured."""
        if not self.repeats:
            return []
        flaws = []
        if self.whole < self.repeats:
            flaws.append("failed" if self.standing == "failed" else f"{self.whole}/{self.repeats} whole")
        return flaws + ["too short"] * self.brief + ["disturbed"] * self.disturbed

    def _within(self, limit: float) -> bool:
        assert self.measured is not None  # with a whole repeat there is a figure
        return self.measured.median <= limit if self.bar.sense == "≤" else self.measured.median >= limit


def verdict_on(bar: Bar, results: Results) -> Verdict:
    """Repeats in which one of the places was not tried at all do not count, neither for nor against."""
    figure = bar.figure
    tried = [
        {row.repeat: row for row in results.of(figure.scenario, point).get(system, []) if _tells_of(row, figure.key)}
        for point, system in figure.places
    ]
    common = [[rows[repeat] for rows in tried] for repeat in tried[0] if all(repeat in rows for rows in tried)]
    rows = [row for taken in common for row in taken]
    numbers = [_number(figure, taken) for taken in common if all(row.complete is not False for row in taken)]
    known = [number for number in numbers if number is not None]
    return Verdict(
        bar=bar,
        measured=spread(known),
        repeats=len(common),
        whole=len(known),
        failed=sum(any(not row.values for row in taken) for taken in common),
        brief=any(row.brief for row in rows),
        disturbed=any(row.disturbed for row in rows),
    )


def _tells_of(row: Measurement, key: str) -> bool:
    """A sound measurement without the figure is from before there was such a figure."""
    return key in row.values or not row.values or row.complete is False


def _number(figure: Figure, taken: list[Measurement]) -> float | None:
    """None: a measurement has not this figure, or one to divide by that is nothing."""
    if not all(figure.key in row.values for row in taken):
        return None
    try:
        number = figure.made(*(row.values[figure.key] for row in taken))
    except ZeroDivisionError:
        return None
    return None if math.isnan(number) else number
