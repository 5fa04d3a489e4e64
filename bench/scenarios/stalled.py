"""One subscriber that reads nothing more, among 100 that do: what the others notice of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.results import Outcome
from bench.scenarios.base import Point, Scenario
from bench.scenarios.beside import COLUMNS, compare
from bench.systems.base import StreamingSystem, System
from bench.workbench import Workbench

_FAST = 100
_RATE = 2000.0
_WARM_UP_S = 0.5
_ROUNDS = 8


def _measure(bench: Workbench, system: System, _point: Point) -> Outcome:
    assert isinstance(system, StreamingSystem)
    seconds = bench.seconds(8.0)
    with bench.session(system, _FAST) as session:

        @contextlib.contextmanager
        def one_stalled() -> Iterator[None]:
            with session.others(1) as slow:
                slow.stall()
                yield

        session.trial(_RATE, min(_WARM_UP_S, seconds))
        return compare(session, _RATE, seconds, one_stalled, rounds=_ROUNDS)


SCENARIOS = (
    Scenario(
        name="stalled",
        order=60,
        title="100 subscribers without and with a stalled one beside them, latency in µs",
        kind="streaming",
        points=(Point("100", "100 subscribers, 2,000 ticks/s", 100),),
        columns=COLUMNS,
        headline="p99_ratio",
        measure=_measure,
        plots={},
    ),
)
