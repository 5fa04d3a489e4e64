"""What the checks of quality, the matching of trades and the best source cost a tick: the same lines with and without them.

Rounds with and without take turns: what the machine does to one it does to the other, so their difference is worth more
than that of two measurements.
"""

from __future__ import annotations

import functools
import json
import statistics
from typing import Any

from bench import lines
from bench.processes import TrialFailed
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.systems.finstream import FinStream
from bench.workbench import Workbench

_ROUND_S = 0.1
_POINTS = (
    Point("plain", "one source, nothing checked"),
    Point("checks", "one source, all four checks of quality"),
    Point("apart", "two sources that tell the same trades, outside of the arena"),
    Point("matched", "the same in the arena: lags, rates and matched trades of each symbol"),
    Point("best", "the same, and the best source of each symbol published"),
)
_COUNT, _DROP = 1, 3
_CHECKS = ((_DROP, _COUNT, _DROP, _DROP), 0.5, 3, 1024)
"""As ``finstream._fastpath.NativePump.check_quality`` takes them. The same lines come again and again, out of order then:
that is only counted."""
_CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "checks": {"checks": _CHECKS},
    "apart": {"assets": 2, "races": False},
    "matched": {"assets": 2},
    "best": {"assets": 2, "best": True},
}
_BASES = {"checks": "plain", "matched": "apart", "best": "matched"}
"""Without what a point adds."""


@functools.cache
def _lines(point: str) -> bytes:
    """Typical lines; for two sources each line comes twice, with an exchange, so that both tell the same trades."""
    text = lines.typical_lines()
    if _CHOICES[point].get("assets", 1) == 1:
        return text
    told = (json.dumps({"exchange": "venue"} | json.loads(line), separators=(",", ":")).encode() for line in text.splitlines())
    return b"".join(2 * (line + b"\n") for line in told)


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, FinStream)
    base = _BASES.get(point.name)

    def round_ns(name: str) -> float:
        text = _lines(name)
        took, ticks = system.parse_with(text, repeat, **_CHOICES[name])
        expected = repeat * text.count(b"\n")
        if ticks != expected:
            raise TrialFailed(f"only {ticks} of {expected} ticks were accepted")
        return took / ticks

    with bench.quiet() as foreign:
        took, _ticks = system.parse_with(_lines(point.name), 1, **_CHOICES[point.name])
        repeat = max(1, round(_ROUND_S * 1e9 / max(took, 1)))
        rounds, more = [], []
        for _ in range(max(3, round(bench.seconds(2.0) / _ROUND_S))):
            without = round_ns(base) if base else None
            rounds.append(round_ns(point.name))
            if without is not None:
                more.append(rounds[-1] - without)
    values = {"ns_per_tick": statistics.median(rounds), "least_ns": min(rounds)}
    if more:
        values["more_ns"] = statistics.median(more)
    return Outcome(values=values, foreign_cores=foreign())


def _unavailable(system: System) -> str | None:
    return None if isinstance(system, FinStream) else "it has none of these"


SCENARIOS = (
    Scenario(
        name="quality-and-arena",
        order=16,
        title="Cost of quality and of the arena on a tick's way",
        kind="arena",
        points=_POINTS,
        columns=(
            Column("ns_per_tick", "ns/tick", 0, "lower"),
            Column("least_ns", "best round", 0),
            Column("more_ns", "more than without", 0, "lower"),
        ),
        headline="ns_per_tick",
        measure=_measure,
        plots={},
        unavailable=_unavailable,
    ),
)
