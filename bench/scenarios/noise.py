"""The stream without and with a busy control plane beside it: REST, snapshots, sessions that come and go, log levels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.results import Outcome
from bench.scenarios.base import Point, Scenario
from bench.scenarios.beside import COLUMNS, compare
from bench.systems.base import ControlledSystem, System
from bench.workbench import Workbench

_SUBSCRIBERS = 10
_RATE = 1000.0
_WARM_UP_S = 0.5


def _measure(bench: Workbench, system: System, _point: Point) -> Outcome:
    assert isinstance(system, ControlledSystem)
    seconds = bench.seconds(6.0)
    with bench.folder() as directory, bench.session(system, _SUBSCRIBERS) as session:

        @contextlib.contextmanager
        def noise() -> Iterator[None]:
            program = system.noise(session.system, directory)
            session.helpers.append(program.pid)
            try:
                yield
                program.check_alive()
            finally:
                program.stop(grace_s=1.0)

        session.trial(_RATE, min(_WARM_UP_S, seconds))
        return compare(session, _RATE, seconds, noise)


SCENARIOS = (
    Scenario(
        name="noise",
        order=80,
        title="10 subscribers without and with a busy control plane, latency in µs",
        kind="controlled",
        points=(Point("10", "10 subscribers, 1,000 ticks/s", 10),),
        columns=COLUMNS,
        headline="p999_ratio",
        measure=_measure,
        plots={},
    ),
)
