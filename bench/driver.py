"""The run: repeats, points and systems interleaved, so that a change in the machine's mood meets all systems alike."""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import msgspec

from bench.machine import describe_machine
from bench.processes import TrialFailed
from bench.results import Measurement, Outcome, Results, save_results
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.toolchain import build_tools
from bench.workbench import Workbench

__all__ = ["NothingToMeasure", "Order", "Progress", "Task", "execute", "measure_all", "plan"]


class NothingToMeasure(Exception):  # noqa: N818 - what was asked for is empty, nothing failed
    """None of the systems takes part in what was chosen. The message says why, for each of them."""


@dataclass(frozen=True)
class Order:
    """What to measure, and how."""

    points: list[tuple[Scenario, Point]]
    systems: list[System]
    repeats: int
    seconds: float | None
    """How long to measure; None: as each scenario says."""
    retries: int
    """A measurement that other programs disturbed is taken again up to so often; then the last one stands, marked."""
    load_cpu: int | None

    def settings(self) -> dict[str, str]:
        """For people."""
        bound = f"client and producer on CPU {self.load_cpu}, systems on all"
        return {
            "points": ", ".join(f"{scenario.name}@{point.name}" for scenario, point in self.points),
            "repeats": str(self.repeats),
            "seconds": "as each scenario says" if self.seconds is None else f"{self.seconds:g}",
            "load": "not bound to a CPU" if self.load_cpu is None else bound,
        }


@dataclass(frozen=True)
class Task:
    """One measurement to take."""

    scenario: Scenario
    point: Point
    system: System
    repeat: int


@dataclass(frozen=True)
class Progress:
    """A measurement was taken: the ``attempt``-th (from 1) at the ``number``-th of ``of`` tasks."""

    task: Task
    measurement: Measurement
    number: int
    of: int
    attempt: int


def execute(order: Order, file: Path, told: Callable[[Progress], None]) -> Results:
    """Build what is needed, measure everything, and keep what is there so far in ``file`` after each measurement.

    SIGTERM ends the run like Ctrl-C: either way every system under test is stopped. After Ctrl-C the results so far are
    returned; after SIGTERM the process exits.

    Raises:
      ToolchainError: the load tools cannot be built.
      NothingToMeasure: the systems take no part in the scenarios.
    """
    tools = build_tools()
    missing = {system.name: why for system in order.systems if (why := system.missing()) is not None}
    systems = [system for system in order.systems if system.name not in missing]
    for scenario in {scenario.name: scenario for scenario, _point in order.points}.values():
        for system in systems:
            if scenario.takes(system) and (why := scenario.unavailable(system)) is not None:
                missing[f"{system.name} in {scenario.name}"] = why
    results = Results(
        machine=describe_machine(),
        settings=order.settings(),
        systems={system.name: {"work": system.work, "note": system.note, **system.versions()} for system in systems},
        left_out=missing,
    )
    tasks = list(plan(order.points, systems, order.repeats))
    if not tasks:
        raise NothingToMeasure(_why_nothing(order, missing))
    # The load client has a descriptor for each subscriber, and the systems inherit the limit too.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with _ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="bench-") as directory:
        bench = Workbench(tools, Path(directory), load_cpu=order.load_cpu, seconds=order.seconds)
        try:
            for progress in measure_all(bench, tasks, retries=order.retries):
                if not _to_be_repeated(progress, order.retries):
                    results.measurements.append(progress.measurement)
                    save_results(results, file)
                told(progress)
        except KeyboardInterrupt:
            results.settings["interrupted"] = f"after {len(results.measurements)} of {len(tasks)} measurements"
            save_results(results, file)
    return results


def plan(chosen: list[tuple[Scenario, Point]], systems: list[System], repeats: int) -> Iterator[Task]:
    """All measurements in order: the systems take turns at each point, and each repeat begins with another of them."""
    for repeat in range(repeats):
        for scenario, point in chosen:
            able = [s for s in systems if scenario.takes(s, point) and scenario.unavailable(s) is None]
            turn = repeat % len(able) if able else 0
            for system in able[turn:] + able[:turn]:
                yield Task(scenario, point, system, repeat)


def _why_nothing(order: Order, missing: dict[str, str]) -> str:
    told = [f"{what}: {why}" for what, why in missing.items()]
    for system in order.systems:
        strange = [f"{s.name}@{point.name}" for s, point in order.points if not s.takes(system, point)]
        if strange:
            told.append(f"{system.name} takes no part in {', '.join(strange)}")
    return f"nothing to measure: {'; '.join(told)} (`--list` names all scenarios and systems)"


def measure_all(bench: Workbench, tasks: list[Task], *, retries: int) -> Iterator[Progress]:
    """Take all measurements, disturbed ones again. When a system fails, the reason is kept as ``problem``."""
    for number, task in enumerate(tasks, 1):
        for attempt in range(1, retries + 2):
            progress = Progress(task, _measure(bench, task), number, len(tasks), attempt)
            yield progress
            if not _to_be_repeated(progress, retries):
                break


def _to_be_repeated(progress: Progress, retries: int) -> bool:
    return progress.measurement.disturbed and progress.attempt <= retries


def _measure(bench: Workbench, task: Task) -> Measurement:
    bench.brief = False
    try:
        outcome = task.scenario.measure(bench, task.system, task.point)
    except TrialFailed as error:
        outcome = Outcome(problem=str(error))
    outcome.brief = bench.brief
    return Measurement(
        **msgspec.structs.asdict(outcome),
        scenario=task.scenario.name,
        point=task.point.name,
        system=task.system.name,
        repeat=task.repeat,
    )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    def leave(_number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
