"""Assets that pause while memory is short, and what operators can do about it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from finstream.children.demand import Demand
from finstream.children.sink import SinkWires
from finstream.children.spec import EngineWords, sink_specs
from finstream.pump import HalfFull, OutboxClosed, OutboxStatistics
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.settings import Limits


def three(settings: Any, **members: Any) -> Any:
    assets = {
        "low": {"command": ["sleep", "300"], "priority": 1, "start": "always"},
        "lower": {"command": ["sleep", "300"], "priority": 1, "start": "always"},
        "high": {"command": ["sleep", "300"], "priority": 8, "start": "always"},
        "idle": {"command": ["sleep", "300"], "priority": 0},
    }
    return settings({name: asset | members for name, asset in assets.items()})


async def test_the_lowest_priority_pauses_first_and_all_go_on_afterwards(
    supervise: Any, settings: Any, bus: Any
) -> None:
    supervisor = await supervise(three(settings))
    for name in ("low", "lower", "high"):
        await bus.state(name, "running")
    assert supervisor.holding.hold_lowest() == ["low", "lower"]
    assert (await bus.state("low", "paused")).reason == "MemoryPressure"
    await bus.state("lower", "paused")
    assert (supervisor.status("high").state, supervisor.status("idle").state) == ("running", "idle")
    assert supervisor.holding.hold_lowest() == ["high"]
    await bus.state("high", "paused")
    assert supervisor.holding.hold_lowest() == []
    assert supervisor.holding.release() == ["low", "lower", "high"]
    for name in ("low", "lower", "high"):
        assert (await bus.state(name, "idle")).reason == "MemoryRelieved"
        await bus.state(name, "running", times=2)
    assert supervisor.holding.release() == []


async def test_what_an_operator_paused_meanwhile_stays_paused(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(three(settings))
    for name in ("low", "lower", "high"):
        await bus.state(name, "running")
    await supervisor.pause("high", origin="test")
    await bus.state("high", "paused")
    supervisor.holding.hold_lowest()
    for name in ("low", "lower"):
        await bus.state(name, "paused")
    await supervisor.pause("low", origin="test")
    assert supervisor.status("low").reason == "Paused"
    with pytest.raises(RequestError, match="low is paused"):
        await supervisor.pause("low", origin="test")
    assert supervisor.holding.release() == ["lower"]
    await bus.state("lower", "running", times=2)
    assert [supervisor.status(name).state for name in ("low", "high")] == ["paused", "paused"]
    await supervisor.start("low", origin="test")
    await bus.state("low", "running", times=2)


async def test_an_operator_may_start_what_is_held(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(three(settings))
    await bus.state("high", "running")
    await bus.state("low", "running")
    await bus.state("lower", "running")
    supervisor.holding.hold_lowest()
    await bus.state("low", "paused")
    await supervisor.start("low", origin="test")
    await bus.state("low", "running", times=2)
    await bus.state("lower", "paused")
    assert supervisor.holding.release() == ["lower"]
    assert supervisor.status("low").state == "running"


async def test_memory_that_is_there_again_before_the_process_has_left(
    supervise: Any, settings: Any, bus: Any, program: Any
) -> None:
    patient = program("""
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(0)))
        print('{"type":"heartbeat"}', flush=True)
        time.sleep(300)
    """)
    supervisor = await supervise(settings({"a": {"command": patient, "start": "always"}}))
    await bus.state("a", "running")
    assert supervisor.holding.hold_lowest() == ["a"]
    assert supervisor.status("a").state == "stopping"
    assert supervisor.holding.release() == ["a"]
    await bus.state("a", "running", times=2)
    assert "paused" not in bus.states("a")


async def test_the_priority_of_a_sink_reaches_the_pump_and_follows_the_configuration(
    supervise: Any, settings: Any, pump: Any, log: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[int, int] = {}
    really_set = pump.set_priority

    def set_priority(outbox: int, priority: int) -> None:
        given[outbox] = priority
        really_set(outbox, priority)

    monkeypatch.setattr(pump, "set_priority", set_priority)
    assets = {"a": {"command": ["sleep", "300"]}}
    sink = {"command": ["sleep", "300"], "topics": ["a"]}
    supervisor = await supervise(settings(assets, {"one": sink, "two": sink | {"priority": 2}}))
    await wait_until(lambda: sorted(given.values()) == [2, 9])
    await supervisor.apply(settings(assets, {"one": sink | {"priority": 3}, "two": sink | {"priority": 2}}))
    assert sorted(given.values()) == [2, 3], "under the process that runs"
    assert len(given) == 2


async def test_a_sink_that_is_slow_is_told_of_in_time_and_one_let_go_for_memory_too(
    pump: Any, log: Any, settings: Any
) -> None:
    cut_off: list[tuple[str, int]] = []
    spec = sink_specs(settings({}, {"s": {"command": ["cat"], "topics": ["a"]}}), EngineWords("e", "production", ""))["s"]
    wires = SinkWires(
        pump, Demand(lambda _asset, _newly: None), Limits(), spec, 9,
        lambda closed: cut_off.append((closed.reason, closed.queued_bytes)), log.logger(),
    )  # fmt: skip
    stops: list[str] = []
    wires.connect(stops.append)
    wires._told(HalfFull(0, 600_000, 40))
    (warned,) = log.find("the sink is slow")
    assert (warned["level"], warned["queued_bytes"], warned["oldest_ms"]) == ("warning", 600_000, 40)
    assert (stops, cut_off) == ([], [])
    none = OutboxStatistics(0, 0, 0, 0, 0, 0, 0, 0, 0, None, None)
    wires._told(OutboxClosed(0, "memory_pressure", 0, 40, 900_000, none))
    assert (stops, cut_off) == (["SlowSink"], [("memory_pressure", 900_000)])
    assert log.find("the sink was cut off", reason="memory_pressure", queued_bytes=900_000)
    wires.release()
    wires.close_theirs()
    for _name, stream in wires.logs:
        await stream.aclose()
