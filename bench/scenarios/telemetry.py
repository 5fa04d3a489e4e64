"""The stream without and with somebody who watches full telemetry every second, as the NOC does, and nothing else beside it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Program
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario
from bench.scenarios.beside import COLUMNS, compare, controlled
from bench.systems.base import ControlPlane, System
from bench.workbench import Session, Workbench

__all__ = ["watcher"]

_WATCHER = Path(__file__).parent.parent / "peers" / "watcher.py"
_READY_TIMEOUT_S = 20.0
_SUBSCRIBERS = 10
_RATE = 1000.0
_WARM_UP_S = 0.5
_ROUNDS = 12


@contextlib.contextmanager
def watcher(session: Session, plane: ControlPlane, directory: Path, *, log_level: str | None = None) -> Iterator[Program]:
    """While the context is open somebody is told all telemetry every second, and the log from that level on."""
    command = [sys.executable, str(_WATCHER), plane.admin, *([log_level] if log_level else [])]
    program = Program(command, directory=directory, name="watcher")
    session.helpers.append(program.pid)
    try:
        program.lines.read(_READY_TIMEOUT_S)
        yield program
    finally:
        program.stop(grace_s=1.0)


def _measure(bench: Workbench, system: System, _point: Point) -> Outcome:
    seconds = bench.seconds(36.0)
    with controlled(bench, system, _SUBSCRIBERS) as (session, plane, directory):

        @contextlib.contextmanager
        def watched() -> Iterator[None]:
            with watcher(session, plane, directory) as program:
                yield
                program.check_alive()

        session.trial(_RATE, min(_WARM_UP_S, seconds))
        outcome = compare(session, _RATE, seconds, watched, rounds=_ROUNDS)
    more_us = outcome.values["cpu_us"] - outcome.values["without_cpu_us"]
    outcome.values["more_ms_per_s"] = more_us * _SUBSCRIBERS * _RATE / 1e3
    return outcome


SCENARIOS = (
    Scenario(
        name="telemetry",
        order=82,
        title="10 subscribers without and with full telemetry every second, latency in µs",
        kind="controlled",
        points=(Point("10", "10 subscribers, 1,000 ticks/s", 10),),
        columns=(*COLUMNS, Column("p50_ratio", "p50 ×", 2, "lower"), Column("more_ms_per_s", "CPU more, ms/s", 1, "lower")),
        headline="p99_ratio",
        measure=_measure,
        plots={},
    ),
)
