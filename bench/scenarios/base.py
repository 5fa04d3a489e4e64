"""What a scenario is, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.histogram import Histogram
from bench.results import Column, Outcome, Results
from bench.systems.base import (
    ArenaSystem,
    ControlledSystem,
    OnDemandSystem,
    ParsingSystem,
    PolicySystem,
    SdkSystem,
    StreamingSystem,
    SymbolSystem,
    System,
)
from bench.systems.connector_base import ConnectorSystem
from bench.workbench import Trial, Workbench

__all__ = ["Kind", "Plot", "Point", "Scenario", "outcome_of", "percentiles_of"]


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
    kind: Kind
    """Which systems take part; see :mod:`bench.systems.base`."""
    points: tuple[Point, ...]
    columns: tuple[Column, ...]
    headline: str
    """The key that ratios are made of."""
    measure: Callable[[Workbench, System, Point], Outcome]
    """Takes one measurement. Raises TrialFailed when there is none."""
    plots: dict[str, Plot]
    """By file name, without the ending."""

    unavailable: Callable[[System], str | None] = lambda _system: None
    """Why a system of this kind cannot take part here and now; None when it can."""

    def takes(self, system: System, point: Point | None = None) -> bool:
        """Whether the system is of the right kind, and where lines are parsed, whether it reads those of the point."""
        if isinstance(system, ParsingSystem) and self.kind == "parsing" and point is not None:
            return point.name in system.shapes
        return _KINDS[self.kind](system)


Kind = Literal["parsing", "streaming", "symbols", "policies", "on demand", "controlled", "arena", "connectors", "sdk"]
_KINDS: dict[Kind, Callable[[System], bool]] = {
    "parsing": lambda system: isinstance(system, ParsingSystem),
    "streaming": lambda system: isinstance(system, StreamingSystem),
    "symbols": lambda system: isinstance(system, SymbolSystem),
    "policies": lambda system: isinstance(system, PolicySystem),
    "on demand": lambda system: isinstance(system, OnDemandSystem),
    "controlled": lambda system: isinstance(system, ControlledSystem),
    "sdk": lambda system: isinstance(system, SdkSystem),
    "arena": lambda system: isinstance(system, ArenaSystem),
    "connectors": lambda system: isinstance(system, ConnectorSystem),
}


def percentiles_of(histogram: Histogram, *, prefix: str = "") -> dict[str, float]:
    """p50_us, p90_us, p99_us, p999_us and max_us."""
    values = {f"{prefix}p{str(p).replace('.', '')}_us": histogram.percentile(p) / 1e3 for p in (50, 90, 99, 99.9)}
    return values | {f"{prefix}max_us": histogram.max_ns / 1e3}


def outcome_of(trial: Trial, values: dict[str, float]) -> Outcome:
    """Latency histograms, completeness and disturbance as every streaming scenario reports them."""
    return Outcome(
        values=values,
        histograms={"write": trial.receipt.write, "due": trial.receipt.due},
        complete=trial.complete,
        problem=trial.loss,
        foreign_cores=trial.foreign_cores,
    )
