"""Assets through their lives, by demand and by command: real ingestors, the real pump."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import CommandReceived

TICKS = """
    import json, sys, time
    n = 0
    while True:
        n += 1
        line = {'symbol': 'X', 'price': '1', 'ts': time.time_ns(), 'trade_id': n}
        print(json.dumps(line), flush=True)
        time.sleep(0.01)
"""


STUBBORN = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True: time.sleep(60)
"""


# --- demand ---------------------------------------------------------------------------------------------------------


async def test_it_runs_while_somebody_wants_it_and_lingers(
    supervise: Any, settings: Any, program: Any, bus: Any, subscribe: Any, wait_until: Any, alive: Any
) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(TICKS)}}))
    assert supervisor.status("venue").state == "idle"
    subscriber = subscribe("venue")

    supervisor.demand.want("venue")
    running = await bus.state("venue", "running")
    assert running.pid is not None
    assert alive(running.pid)
    status = supervisor.status("venue")
    assert (status.state, status.reason, status.pid, status.wanted_by) == ("running", "Started", running.pid, 1)
    await wait_until(lambda: len(subscriber.of_type("tick")) >= 3)

    # A second subscriber changes nothing, nor does the leaving of the first.
    supervisor.demand.want("venue")
    supervisor.demand.unwant("venue")
    # The last one leaves and comes back within the linger.
    supervisor.demand.unwant("venue")
    await trio.sleep(0.02)
    supervisor.demand.want("venue")
    await trio.sleep(0.2)
    assert supervisor.status("venue").pid == running.pid

    supervisor.demand.unwant("venue")
    stopping = await bus.state("venue", "stopping")
    assert (stopping.reason, stopping.pid) == ("NoDemand", running.pid)
    idle = await bus.state("venue", "idle")
    assert (idle.reason, idle.pid, idle.exit_code) == ("NoDemand", None, -signal.SIGTERM)
    assert not alive(running.pid)
    assert supervisor.status("venue").last_exit_code == -signal.SIGTERM

    # Subscribers were told of every step.
    await wait_until(lambda: len(subscriber.of_type("asset")) == 4)
    assert subscriber.of_type("asset") == [
        {"type": "asset", "asset": "venue", "state": "starting", "reason": "Wanted"},
        {"type": "asset", "asset": "venue", "state": "running", "reason": "Started"},
        {"type": "asset", "asset": "venue", "state": "stopping", "reason": "NoDemand"},
        {"type": "asset", "asset": "venue", "state": "idle", "reason": "NoDemand"},
    ]
    seqs = [message["seq"] for message in subscriber.of_type("tick")]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_wanted_again_while_it_is_stopping_it_starts_anew(
    supervise: Any, settings: Any, program: Any, bus: Any, tmp_path: Path, wait_until: Any
) -> None:
    up = tmp_path / "up"
    slow_leaver = program("""
        import signal, sys, time
        from pathlib import Path
        def leave(*_):
            time.sleep(0.3)
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        Path(sys.argv[1]).touch()
        while True: time.sleep(60)
        """, str(up))
    supervisor = await supervise(settings({"venue": {"command": slow_leaver}}))
    supervisor.demand.want("venue")
    first = await bus.state("venue", "running")
    await wait_until(up.exists)
    supervisor.demand.unwant("venue")
    await bus.state("venue", "stopping")
    supervisor.demand.want("venue")
    second = await bus.state("venue", "running", times=2)
    assert second.pid != first.pid
    assert bus.states("venue") == ["starting", "running", "stopping", "idle", "starting", "running"]


async def test_always_needs_no_subscriber(supervise: Any, settings: Any, program: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(TICKS), "start": "always", "linger_s": 0.0}}))
    await bus.state("venue", "running")
    supervisor.demand.want("venue")
    supervisor.demand.unwant("venue")
    await trio.sleep(0.1)
    assert supervisor.status("venue").state == "running"


async def test_in_simulation_every_message_says_so(
    supervise: Any, settings: Any, bus: Any, subscribe: Any, wait_until: Any
) -> None:
    supervisor = await supervise(settings({"sim": {"command": ["true"], "origin": "synthetic"}}, mode="simulation"))
    subscriber = subscribe("sim")
    supervisor.demand.want("sim")
    await bus.state("sim", "done")
    await wait_until(lambda: len(subscriber.messages) == 3)
    assert all(message["simulated"] is True for message in subscriber.messages)


# --- commands -------------------------------------------------------------------------------------------------------


async def test_pause_holds_until_start(supervise: Any, settings: Any, program: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(TICKS)}}))
    supervisor.demand.want("venue")
    running = await bus.state("venue", "running")
    await supervisor.pause("venue", origin="127.0.0.1")
    assert supervisor.status("venue").state == "stopping"
    paused = await bus.state("venue", "paused")
    assert (paused.reason, paused.exit_code) == ("Paused", -signal.SIGTERM)
    supervisor.demand.want("venue")
    await trio.sleep(0.05)
    assert supervisor.status("venue").state == "paused"
    await supervisor.start("venue", origin="127.0.0.1")
    assert supervisor.status("venue").state == "starting"
    again = await bus.state("venue", "running", times=2)
    assert again.pid != running.pid
    assert [event for event in bus.events if isinstance(event, CommandReceived)] == [
        CommandReceived(command="pause", target="venue", origin="127.0.0.1"),
        CommandReceived(command="start", target="venue", origin="127.0.0.1"),
    ]


async def test_started_without_demand_it_leaves_after_its_linger(
    supervise: Any, settings: Any, program: Any, bus: Any
) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(TICKS)}}))
    await supervisor.pause("venue", origin="test")
    assert supervisor.status("venue").state == "paused"
    await supervisor.start("venue", origin="test")
    await bus.state("venue", "running")
    assert (await bus.state("venue", "idle")).reason == "NoDemand"


async def test_restart_gives_a_new_process(supervise: Any, settings: Any, program: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(TICKS), "start": "always"}}))
    first = await bus.state("venue", "running")
    await supervisor.restart("venue", origin="test")
    second = await bus.state("venue", "running", times=2)
    assert second.pid != first.pid
    assert bus.states("venue") == ["starting", "running", "stopping", "starting", "running"]
    assert supervisor.status("venue").restarts == 0  # that counts failures


async def test_restart_makes_the_next_attempt_now(supervise: Any, settings: Any, bus: Any) -> None:
    restart = {"initial_s": 300, "max_s": 300}
    supervisor = await supervise(settings({"venue": {"command": ["false"], "restart": restart}}))
    supervisor.demand.want("venue")
    await bus.state("venue", "backoff")
    await supervisor.restart("venue", origin="test")
    await bus.state("venue", "backoff", times=2)


async def test_a_pause_while_it_is_stopping_wins(supervise: Any, settings: Any, program: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(STUBBORN), "stop_grace_s": 0.3}}))
    supervisor.demand.want("venue")
    await bus.state("venue", "running")
    await supervisor.restart("venue", origin="test")
    await supervisor.pause("venue", origin="test")
    await bus.state("venue", "paused")
    assert bus.states("venue") == ["starting", "running", "stopping", "paused"]


@pytest.mark.parametrize(
    ("state", "command"),
    [("idle", "start"), ("idle", "restart"), ("paused", "pause"), ("paused", "restart"), ("running", "start")],
)
async def test_commands_that_make_no_sense_are_refused(
    state: str, command: str, supervise: Any, settings: Any, program: Any, bus: Any
) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(TICKS)}}))
    if state == "running":
        supervisor.demand.want("venue")
        await bus.state("venue", "running")
    elif state == "paused":
        await supervisor.pause("venue", origin="test")
    with pytest.raises(RequestError, match=f"venue is {state}") as caught:
        await getattr(supervisor, command)("venue", origin="test")
    assert caught.value.problem == "wrong-state"
    assert supervisor.status("venue").state == state


async def test_an_unknown_asset_is_refused(supervise: Any, settings: Any) -> None:
    supervisor = await supervise(settings())
    for command in (supervisor.pause, supervisor.start, supervisor.restart):
        with pytest.raises(RequestError, match="nowhere") as caught:
            await command("nowhere", origin="test")
        assert caught.value.problem == "unknown-asset"
    with pytest.raises(RequestError, match="nowhere"):
        supervisor.status("nowhere")


async def test_the_status_can_be_told(
    supervise: Any, settings: Any, program: Any, bus: Any, command_of: Any
) -> None:
    command = ["python", *program(TICKS)[1:]]
    supervisor = await supervise(
        settings({"b": {"command": command, "start": "always"}, "a": {"command": ["x"], "kind": "data"}})
    )
    running = await bus.state("b", "running")
    assert [status.name for status in supervisor.statuses()] == ["b", "a"]
    told = msgspec.to_builtins(supervisor.status("b"))
    since = told.pop("since_us")
    assert since > 1_700_000_000_000_000
    assert told == {
        "name": "b", "state": "running", "reason": "Started", "detail": "", "kind": "pricing", "origin": "live",
        "pid": running.pid, "restarts": 0, "wanted_by": 0, "next_attempt_us": None, "last_exit_code": None,
        "priority": 5, "market": "always", "restart_at": None, "command": command,
    }
    assert (await command_of(running.pid))[0] == sys.executable


async def test_whoever_wants_the_best_source_wants_every_pricing_asset(
    supervise: Any, settings: Any, program: Any, bus: Any
) -> None:
    kinds = {"one": "pricing", "two": "pricing", "news": "data"}
    supervisor = await supervise(settings({name: {"command": program(TICKS), "kind": kind} for name, kind in kinds.items()}))
    supervisor.demand.want("best")
    for name in ("one", "two"):
        await bus.state(name, "running")
    assert [supervisor.status(name).wanted_by for name in kinds] == [1, 1, 0]
    assert supervisor.status("news").state == "idle"
    supervisor.demand.want("two")
    supervisor.demand.unwant("best")
    await bus.state("one", "idle")
    assert [supervisor.status(name).state for name in kinds] == ["idle", "running", "idle"]
    supervisor.demand.unwant("two")
    await bus.state("two", "idle")
