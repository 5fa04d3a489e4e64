"""What a scenario is, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.results import Column, Outcome, Results
from bench.systems.base import ParsingSystem, StreamingSystem, System
from bench.workbench import Trial, Workbench

__all__ = ["Plot", "Point", "Scenario", "outcome_of"]


@dataclass(frozen=True)
class Point:
    """One place of a scenario, such as a number of subscribers."""

    name: str
    title: str
    parameter: float = 0
    """Where it stands on a plot's axis."""


Plot = Callable[[Results], str | None]
"""Draws results as an SVG document; None when there is nothing to show."""


@dataclass(frozen=True)
class Scenario:
    name: str
    order: int
    """Scenarios run and print in ascending order."""
    title: str
    kind: Literal["parsing", "streaming"]
    """Which systems take part: every :class:`ParsingSystem`, or every :class:`StreamingSystem`."""
    points: tuple[Point, ...]
    columns: tuple[Column, ...]
    headline: str
    """The key that ratios are made of."""
    measure: Callable[[Workbench, System, Point], Outcome]
    """Takes one measurement. Raises TrialFailed when there is none."""
    plots: dict[str, Plot]
    """By file name, without the ending."""

    def takes(self, system: System) -> bool:
        return isinstance(system, ParsingSystem if self.kind == "parsing" else StreamingSystem)


def outcome_of(trial: Trial, values: dict[str, float]) -> Outcome:
    """Latency histograms, completeness and disturbance as every streaming scenario reports them."""
    return Outcome(
        values=values,
        histograms={"write": trial.receipt.write, "due": trial.receipt.due},
        complete=trial.complete,
        problem=trial.loss,
        foreign_cores=trial.foreign_cores,
    )
