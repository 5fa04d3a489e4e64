"""The order of a run and what it does with failures, on scenarios and systems that do nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.driver import Task, measure_all, plan
from bench.processes import TrialFailed
from bench.results import Column, Outcome
from bench.scenarios import all_scenarios
from bench.scenarios.base import Point, Scenario
from bench.systems import all_systems
from bench.systems.base import ParsingSystem, System
from bench.toolchain import Tools
from bench.workbench import Workbench


class Still(ParsingSystem):
    work = "typed"
    shapes = ("a", "b")

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str | None:
        return None

    def versions(self) -> dict[str, str]:
        return {}

    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        return 1, 1


def scenario(measure: Callable[[Workbench, System, Point], Outcome]) -> Scenario:
    return Scenario(
        name="still",
        order=1,
        title="",
        kind="parsing",
        points=(Point("a", ""), Point("b", "")),
        columns=(Column("x", "x"),),
        headline="x",
        measure=measure,
        plots={},
    )


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    nothing = Path("/nonexistent")
    return Workbench(Tools(nothing, nothing, nothing, nothing), tmp_path, load_cpu=None)


def test_systems_take_turns_and_each_repeat_begins_with_another() -> None:
    still = scenario(lambda *_: Outcome())
    systems: list[System] = [Still("x"), Still("y")]
    order = [(t.repeat, t.point.name, t.system.name) for t in plan([(still, p) for p in still.points], systems, 2)]
    assert order == [
        (0, "a", "x"), (0, "a", "y"), (0, "b", "x"), (0, "b", "y"),
        (1, "a", "y"), (1, "a", "x"), (1, "b", "y"), (1, "b", "x"),
    ]  # fmt: skip


def test_systems_of_another_kind_take_no_part() -> None:
    streaming = dataclasses.replace(scenario(lambda *_: Outcome()), kind="streaming")
    assert list(plan([(streaming, streaming.points[0])], [Still("x")], 1)) == []


def test_a_disturbed_measurement_is_taken_again_until_the_retries_are_used_up(bench: Workbench) -> None:
    disturbances = iter([0.9, 0.8, 0.0, 0.9, 0.9, 0.9])
    still = scenario(lambda *_: Outcome(foreign_cores=next(disturbances)))
    tasks = [Task(still, still.points[0], Still("x"), 0), Task(still, still.points[1], Still("x"), 0)]
    seen = [(p.number, p.attempt, p.measurement.foreign_cores) for p in measure_all(bench, tasks, retries=2)]
    assert seen == [(1, 1, 0.9), (1, 2, 0.8), (1, 3, 0.0), (2, 1, 0.9), (2, 2, 0.9), (2, 3, 0.9)]


def test_a_failure_is_a_result_and_the_run_goes_on(bench: Workbench) -> None:
    def measure(_bench: Workbench, _system: System, point: Point) -> Outcome:
        if point.name == "a":
            raise TrialFailed("it fell over")
        return Outcome(values={"x": 1.0})

    still = scenario(measure)
    tasks = [Task(still, point, Still("x"), 0) for point in still.points]
    first, second = (p.measurement for p in measure_all(bench, tasks, retries=0))
    assert (first.problem, first.values) == ("it fell over", {})
    assert (second.problem, second.values, second.system, second.point) == (None, {"x": 1.0}, "x", "b")


@pytest.mark.parametrize(("given", "brief"), [(None, False), (2.0, False), (1.9, True)])
def test_what_had_less_time_than_its_scenario_wants_is_marked(tmp_path: Path, given: float | None, brief: bool) -> None:
    nothing = Path("/nonexistent")
    bench = Workbench(Tools(nothing, nothing, nothing, nothing), tmp_path, load_cpu=None, seconds=given)

    def measure(bench: Workbench, _system: System, point: Point) -> Outcome:
        return Outcome(values={"x": bench.seconds(2.0)} if point.name == "a" else {})  # at b it asks for no time

    still = scenario(measure)
    first, second = (p.measurement for p in measure_all(bench, [Task(still, p, Still("x"), 0) for p in still.points], retries=0))
    assert (first.brief, second.brief) == (brief, False)


def test_what_is_shipped_is_found_in_its_order() -> None:
    assert list(all_scenarios()) == [
        "parse", "assets", "assets-and-symbols", "quality-and-arena",
        "latency", "fan-out", "pipe", "deliveries", "idle", "storm", "stalled", "policies",
        "symbols", "noise", "telemetry", "first-tick", "connectors", "connector-latency", "sdk",
    ]  # fmt: skip
    assert list(all_systems()) == [
        "finstream", "finstream-wss", "floor", "floor-wss", "ingestors", "json-decimal", "mosquitto", "msgspec-decimal", "nats",
        "node-ws", "node-ws-relay",
        "orjson-decimal", "picows", "picows-relay", "websockets", "websockets-relay",
    ]  # fmt: skip


def test_parsers_take_only_the_lines_that_they_can_read() -> None:
    parse, floor = all_scenarios()["parse"], all_systems()["floor"]
    taken = [point.name for point in parse.points if parse.takes(floor, point)]
    assert taken == ["typical"]


def test_a_system_that_cannot_do_a_scenario_is_left_out_of_it_only() -> None:
    still = dataclasses.replace(scenario(lambda *_: Outcome()), unavailable=lambda system: "no" if system.name == "x" else None)
    systems: list[System] = [Still("x"), Still("y")]
    assert {task.system.name for task in plan([(still, p) for p in still.points], systems, 1)} == {"y"}


def test_every_scenario_has_its_headline_among_its_columns() -> None:
    for name, shipped in all_scenarios().items():
        assert shipped.headline in [column.key for column in shipped.columns], name
