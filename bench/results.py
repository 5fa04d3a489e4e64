"""What a run leaves behind: the JSON file's shape, and the statistics over repeats."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from bench.histogram import Histogram

__all__ = [
    "DISTURBED_CORES",
    "FORMAT",
    "Column",
    "Measurement",
    "Outcome",
    "Results",
    "Spread",
    "load_results",
    "merge_results",
    "ratios",
    "save_results",
    "spread",
    "spread_of",
    "whole",
]

FORMAT = 1
"""Changes when the JSON's shape does."""
DISTURBED_CORES = 0.3
"""More than so much of a core used by other programs, and a measurement counts as disturbed."""


class Column(NamedTuple):
    """A figure: its key in :attr:`Measurement.values`, and how people read it."""

    key: str
    heading: str
    digits: int = 0
    better: Literal["lower", "higher"] | None = None


class Outcome(msgspec.Struct, kw_only=True):
    """What a scenario measured."""

    values: dict[str, float] = {}
    histograms: dict[str, Histogram] = {}
    """By latency origin: ``write`` or ``due``."""
    complete: bool | None = None
    """Whether everything reached everybody, once and in order; None where nothing is delivered."""
    problem: str | None = None
    """Why there are no figures, or what is wrong with them."""
    foreign_cores: float = 0.0
    """How many cores other programs used meanwhile."""
    brief: bool = False
    """It was measured for less time than the scenario takes by itself."""

    @property
    def disturbed(self) -> bool:
        return self.foreign_cores > DISTURBED_CORES


class Measurement(Outcome, kw_only=True):
    """One system at one point of one scenario, once."""

    scenario: str
    point: str
    system: str
    repeat: int


class Results(msgspec.Struct, kw_only=True):
    format: int = FORMAT
    machine: dict[str, str] = {}
    settings: dict[str, str] = {}
    systems: dict[str, dict[str, str]] = {}
    """Of each: ``work``, ``note``, and its versions."""
    left_out: dict[str, str] = {}
    """Systems that could not run, and why."""
    measurements: list[Measurement] = []

    def of(self, scenario: str, point: str) -> dict[str, list[Measurement]]:
        """By system, in the order of their first measurement."""
        found: dict[str, list[Measurement]] = {}
        for measurement in self.measurements:
            if (measurement.scenario, measurement.point) == (scenario, point):
                found.setdefault(measurement.system, []).append(measurement)
        return found


def whole(rows: list[Measurement]) -> list[Measurement]:
    """Those that gave figures and in which everything reached everybody: what loses ticks is another service."""
    return [row for row in rows if row.values and row.complete is not False]


class Spread(msgspec.Struct, frozen=True):
    median: float
    least: float
    most: float
    count: int


def spread(values: list[float]) -> Spread | None:
    """None without values. NaN counts as no value."""
    known = [value for value in values if not math.isnan(value)]
    return Spread(statistics.median(known), min(known), max(known), len(known)) if known else None


def spread_of(rows: list[Measurement], key: str) -> Spread | None:
    """Over the repeats that have this figure."""
    return spread([row.values[key] for row in rows if key in row.values])


def ratios(of: list[Measurement], to: list[Measurement], key: str) -> Spread | None:
    """One system's figure divided by another's, repeat by repeat: both were taken minutes apart in the same state of
    the machine."""
    base = {m.repeat: m.values[key] for m in to if m.values.get(key)}
    return spread([m.values[key] / base[m.repeat] for m in of if m.repeat in base and key in m.values])


def save_results(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_bytes(msgspec.json.encode(results))
    scratch.replace(path)


def load_results(path: Path) -> Results:
    """Raises ValueError: not a file of ours, or of another format."""
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}: not a result file: {error}") from error
    if results.format != FORMAT:
        raise ValueError(f"{path}: written in format {results.format}, this is {FORMAT}: run the benchmark again")
    return results


def merge_results(several: list[Results]) -> Results:
    """Measurements of all. Where they differ, what is told of machine and settings is told of each, in turn. Repeats are
    renumbered, so none hides another's."""
    first, *others = several
    merged = Results(
        machine=_each_in_turn([results.machine for results in several]),
        settings=_each_in_turn([results.settings for results in several]),
        systems=dict(first.systems),
        left_out=dict(first.left_out),
        measurements=list(first.measurements),
    )
    for other in others:
        merged.left_out |= other.left_out
        shift = 1 + max((m.repeat for m in merged.measurements), default=-1)
        merged.measurements += [msgspec.structs.replace(m, repeat=m.repeat + shift) for m in other.measurements]
        merged.systems.update(other.systems)
    return merged


def _each_in_turn(several: list[dict[str, str]]) -> dict[str, str]:
    names = dict.fromkeys(name for told in several for name in told)
    return {name: "; ".join(dict.fromkeys(told[name] for told in several if name in told)) for name in names}
