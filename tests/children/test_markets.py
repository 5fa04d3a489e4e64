"""Assets that pause while their market is closed, beside all the other reasons there are to pause."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from finstream.children.spec import EngineWords, sink_specs
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import AssetSettings

SLEEP = ["sleep", "300"]


def two(settings: Any, **members: Any) -> Any:
    usual = {"command": SLEEP, "start": "always"}
    return settings({"stock": usual | {"market": "nasdaq"} | members, "coin": usual})


async def test_until_something_is_said_a_market_counts_as_closed(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(two(settings))
    await bus.state("coin", "running")
    assert bus.states("stock") == ["paused"], "nothing is started for a moment only"
    status = supervisor.status("stock")
    assert (status.state, status.reason, status.market) == ("paused", "MarketClosed", "nasdaq")
    assert status.detail == "whether nasdaq is open is not known yet"


async def test_it_pauses_when_its_market_closes_and_goes_on_when_that_opens(
    supervise: Any, settings: Any, bus: Any, subscribe: Any, wait_until: Any
) -> None:
    supervisor = await supervise(two(settings))
    supervisor.markets.tell("nasdaq", None)
    await bus.state("stock", "running")
    subscriber = subscribe("stock")
    supervisor.markets.tell("nasdaq", "nasdaq is closed until Monday")
    assert supervisor.status("stock").state == "stopping"
    paused = await bus.state("stock", "paused", times=2)
    assert (paused.reason, paused.detail) == ("MarketClosed", "nasdaq is closed until Monday")
    supervisor.markets.tell("nasdaq", None)
    assert (await bus.state("stock", "idle")).reason == "MarketOpened"
    await bus.state("stock", "running", times=2)
    assert bus.states("coin") == ["starting", "running"], "crypto never sleeps"
    await wait_until(lambda: len(subscriber.of_type("asset")) >= 5)
    told = [(message["state"], message["reason"]) for message in subscriber.of_type("asset")]
    assert told == [("stopping", "MarketClosed"), ("paused", "MarketClosed"), ("idle", "MarketOpened"), ("starting", "Wanted"),
                    ("running", "Started")]  # fmt: skip


async def test_demand_does_not_start_it_while_its_market_is_closed(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(two(settings, start="on_demand"))
    supervisor.demand.want("stock")
    await bus.state("coin", "running")
    assert supervisor.status("stock").state == "paused"
    supervisor.markets.tell("nasdaq", None)
    await bus.state("stock", "running")
    supervisor.markets.tell("nasdaq", "closed")
    await bus.state("stock", "paused", times=2)
    supervisor.demand.unwant("stock")
    supervisor.markets.tell("nasdaq", None)
    await bus.state("stock", "idle")
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert supervisor.status("stock").state == "idle", "nobody wants it any more"


async def test_what_is_new_about_a_closed_market_is_said(supervise: Any, settings: Any) -> None:
    supervisor = await supervise(two(settings))
    supervisor.markets.tell("nasdaq", "closed until four")
    assert supervisor.status("stock").detail == "closed until four"
    since = supervisor.status("stock").since_us
    supervisor.markets.tell("nasdaq", "closed until four")
    assert supervisor.status("stock").since_us == since, "said once"


async def test_an_operator_may_start_it_and_the_next_closing_pauses_it(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(two(settings))
    await supervisor.start("stock", origin="test")
    await bus.state("stock", "running")
    supervisor.markets.tell("nasdaq", "still closed")
    assert supervisor.status("stock").state == "running"
    supervisor.markets.tell("nasdaq", None)
    assert supervisor.status("stock").state == "running"
    supervisor.markets.tell("nasdaq", "closed")
    await bus.state("stock", "paused", times=2)


async def test_what_an_operator_paused_stays_paused_when_the_market_opens(
    supervise: Any, settings: Any, bus: Any
) -> None:
    supervisor = await supervise(two(settings))
    await supervisor.pause("stock", origin="test")
    assert supervisor.status("stock").reason == "Paused"
    supervisor.markets.tell("nasdaq", None)
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert (supervisor.status("stock").state, supervisor.status("stock").reason) == ("paused", "Paused")
    await supervisor.start("stock", origin="test")
    await bus.state("stock", "running")


@pytest.mark.parametrize("first", ["memory", "market"])
async def test_held_for_two_reasons_it_goes_on_when_both_are_gone(
    supervise: Any, settings: Any, bus: Any, first: str
) -> None:
    supervisor = await supervise(two(settings, priority=1))
    supervisor.markets.tell("nasdaq", None)
    await bus.state("stock", "running")
    assert supervisor.holding.hold_lowest() == ["stock"]
    await bus.state("stock", "paused", times=2)
    supervisor.markets.tell("nasdaq", "closed")
    assert supervisor.status("stock").reason == "MemoryPressure"
    if first == "memory":
        assert supervisor.holding.release() == []
        assert (supervisor.status("stock").state, supervisor.status("stock").reason) == ("paused", "MarketClosed")
        supervisor.markets.tell("nasdaq", None)
    else:
        supervisor.markets.tell("nasdaq", None)
        assert (supervisor.status("stock").state, supervisor.status("stock").reason) == ("paused", "MemoryPressure")
        assert supervisor.holding.release() == ["stock"]
    await bus.state("stock", "running", times=2)


async def test_a_crash_while_it_is_being_held_does_not_bring_it_back(
    supervise: Any, settings: Any, bus: Any, program: Any, pump: Any, wait_until: Any
) -> None:
    crashing = program("""
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        print('{"type":"heartbeat"}', flush=True)
        signal.pause()
    """)
    supervisor = await supervise(two(settings, command=crashing))
    supervisor.markets.tell("nasdaq", None)
    await wait_until(lambda: pump.asset_statistics(pump.asset_handle("stock")).heartbeats)
    supervisor.markets.tell("nasdaq", "closed")
    paused = await bus.state("stock", "paused", times=2)
    assert (paused.reason, paused.exit_code) == ("MarketClosed", 3)


@pytest.mark.parametrize(("code", "state"), [(1, "backoff"), (0, "done")])
async def test_what_waits_without_a_process_pauses_too(
    supervise: Any, settings: Any, bus: Any, program: Any, code: int, state: str
) -> None:
    supervisor = await supervise(two(settings, command=program(f"raise SystemExit({code})"), restart={"initial_s": 60}))
    supervisor.markets.tell("nasdaq", None)
    await bus.state("stock", state)
    supervisor.markets.tell("nasdaq", "closed")
    assert supervisor.status("stock").state == "paused"
    assert supervisor.status("stock").next_attempt_us is None
    supervisor.markets.tell("nasdaq", None)
    await bus.state("stock", state, times=2)  # a new day, a new attempt


async def test_a_change_of_the_market_takes_effect_under_the_running_process(
    supervise: Any, settings: Any, bus: Any
) -> None:
    supervisor = await supervise(two(settings, market="always"))
    running = await bus.state("stock", "running")
    supervisor.markets.tell("nasdaq", None)
    await supervisor.apply(two(settings, market="nasdaq"))
    assert supervisor.status("stock").pid == running.pid
    supervisor.markets.tell("nasdaq", "closed")
    await bus.state("stock", "paused")
    await supervisor.apply(two(settings, market="always"))
    await bus.state("stock", "running", times=2)
    await supervisor.apply(two(settings, market="nasdaq"))
    await bus.state("stock", "paused", times=2)


async def test_a_scheduled_restart_replaces_the_process(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(two(settings, market="always", restart_at="03:30"))
    first = await bus.state("stock", "running")
    supervisor.restart_if_running("stock")
    assert (await bus.state("stock", "stopping")).reason == "ScheduledRestart"
    second = await bus.state("stock", "running", times=2)
    assert second.pid != first.pid
    status = supervisor.status("stock")
    assert (status.restart_at, status.restarts) == ("03:30", 0), "no failure"
    assert bus.states("coin") == ["starting", "running"]


async def test_a_scheduled_restart_starts_nothing_that_does_not_run(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(two(settings, market="always"))
    await bus.state("stock", "running")
    await supervisor.pause("stock", origin="test")
    await bus.state("stock", "paused")
    supervisor.restart_if_running("stock")
    supervisor.restart_if_running("unheard-of")
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert supervisor.status("stock").state == "paused"


def test_a_production_sink_is_not_even_thought_of_in_an_engine_that_simulates(settings: Any) -> None:
    configured = settings({}, {"s": {"command": ["cat"], "topics": ["a"], "production": True}})
    assert list(sink_specs(configured, EngineWords("e", "production", ""))) == ["s"]
    with pytest.raises(ConfigError, match="this engine simulates"):
        sink_specs(configured, EngineWords("e", "simulation", ""))


def test_crypto_follows_no_market_unless_it_is_told_to() -> None:
    assert AssetSettings(command=["x"]).market == "always"
