"""The stream without and with a busy control plane beside it: REST, snapshots, sessions that come and go, log levels, and full
telemetry every second."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Program, cpu_ns
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario
from bench.scenarios.beside import COLUMNS, compare, controlled
from bench.scenarios.telemetry import watcher
from bench.systems.base import System
from bench.workbench import Workbench

_NOISE = Path(__file__).parent.parent / "peers" / "noise.py"
_SUBSCRIBERS = 10
_RATE = 1000.0
_WARM_UP_S = 0.5
_ROUNDS = 3


def _measure(bench: Workbench, system: System, _point: Point) -> Outcome:
    seconds = bench.seconds(9.0)
    busy_cores = 0.0
    with controlled(bench, system, _SUBSCRIBERS) as (session, plane, directory):

        @contextlib.contextmanager
        def noise() -> Iterator[None]:
            nonlocal busy_cores
            with watcher(session, plane, directory, log_level="debug"):
                program = Program([sys.executable, str(_NOISE), plane.public, plane.admin], directory=directory, name="noise")
                session.helpers.append(program.pid)
                answering = {*session.system.pids, *plane.pids}
                before, began = cpu_ns(answering), time.monotonic()
                try:
                    yield
                    program.check_alive()
                    busy_cores = (cpu_ns(answering) - before) / 1e9 / (time.monotonic() - began)
                finally:
                    program.stop(grace_s=1.0)

        session.trial(_RATE, min(_WARM_UP_S, seconds))
        outcome = compare(session, _RATE, seconds, noise, rounds=_ROUNDS)
    outcome.values["busy_cores"] = busy_cores
    return outcome


SCENARIOS = (
    Scenario(
        name="noise",
        order=80,
        title="10 subscribers without and with a busy control plane, latency in µs",
        kind="controlled",
        points=(Point("10", "10 subscribers, 1,000 ticks/s", 10),),
        columns=(*COLUMNS, Column("busy_cores", "cores", 2)),
        headline="p999_ratio",
        measure=_measure,
        plots={},
    ),
)
