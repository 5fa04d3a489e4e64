"""Which measurements a plot shows, and what it says of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from bench.results import Measurement, Results, whole

__all__ = ["Plotted", "plotted"]

_NOTE_WIDTH = 120
"""Characters that fit below a title."""


class Plotted(NamedTuple):
    rows: dict[str, dict[str, list[Measurement]]]
    """By point and system, without those that were not whole."""
    note: str
    """Whose measurements were left out, and whose are shown though other programs disturbed them; empty: there are no such."""


def plotted(results: Results, scenario: str, points: Iterable[str]) -> Plotted:
    """What a plot over these points of a scenario is made of."""
    rows: dict[str, dict[str, list[Measurement]]] = {}
    taken: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    disturbed: Counter[str] = Counter()
    for point in points:
        rows[point] = {}
        for system, measured in results.of(scenario, point).items():
            rows[point][system] = whole(measured)
            taken[system] += len(measured)
            lost[system] += len(measured) - len(rows[point][system])
            disturbed[system] += sum(row.disturbed for row in rows[point][system])
    told = [_told(words, some, taken) for words, some in (("left out, not whole", lost), ("disturbed", disturbed)) if some.total()]
    return Plotted(rows, "; ".join(told))


def _told(words: str, some: Counter[str], of: Counter[str]) -> str:
    named = ", ".join(f"{system} {count} of {of[system]}" for system, count in some.items() if count)
    if len(named) > _NOTE_WIDTH // 2:
        named = f"{some.total()} of {of.total()} measurements"
    return f"{words}: {named}"
