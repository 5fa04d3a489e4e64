"""All children together: reloads and the end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.children.supervisor import Supervisor

IDLE = "import time; time.sleep(300)"
STUBBORN = """
    import signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[1], 'w').close()
    time.sleep(300)
"""


# --- reloads --------------------------------------------------------------------------------------------------------


async def test_a_reload_touches_only_what_changed(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any, alive: Any, pump: Any
) -> None:
    kept, changed, removed, added = (
        {"command": program(IDLE), "start": "always"} for _ in range(4)
    )
    sink = {"command": program("import sys; sys.stdin.read()"), "topics": ["kept"]}
    supervisor = await supervise(settings({"kept": kept, "changed": changed, "removed": removed}, {"sink": sink}))
    before = {name: (await bus.state(name, "running")).pid for name in ("kept", "changed", "removed")}
    await log.wait_for("child changed state", sink="sink", state="running")

    changed, kept = changed | {"env": {"A": "1"}}, kept | {"linger_s": 7.0}
    await supervisor.apply(settings({"changed": changed, "kept": kept, "added": added}, {"sink": sink}))

    assert [status.name for status in supervisor.statuses()] == ["changed", "kept", "added"]
    added_pid = (await bus.state("added", "running")).pid
    changed_pid = (await bus.state("changed", "running", times=2)).pid
    assert supervisor.status("kept").pid == before["kept"]
    assert changed_pid != before["changed"]
    assert alive(before["kept"])
    assert alive(added_pid)
    assert (await bus.state("removed", "idle")).reason == "ConfigRemoved"
    assert not alive(before["changed"])
    assert not alive(before["removed"])
    assert bus.states("kept") == ["starting", "running"]
    assert [e.reason for e in bus.events if getattr(e, "asset", "") == "changed"][2:] == [
        "ConfigChanged", "ConfigChanged", "Started",
    ]
    assert {entry.asset for entry in pump.arena()} == {"kept", "changed", "added"}
    assert len(log.find("child changed state", sink="sink")) == 2


async def test_a_reload_does_not_wait_for_a_child_that_will_not_leave(
    supervise: Any, settings: Any, program: Any, bus: Any, alive: Any, tmp_path: Path, wait_until: Any
) -> None:
    venue = {"command": program(STUBBORN, str(tmp_path / "up")), "start": "always", "stop_grace_s": 1.0}
    supervisor = await supervise(settings({"venue": venue}))
    pid = (await bus.state("venue", "running")).pid
    await wait_until((tmp_path / "up").exists)
    await supervisor.apply(settings({"next": {"command": program(IDLE), "start": "always"}}))
    assert alive(pid)
    await bus.state("next", "running")
    assert alive(pid), "nor does anybody else wait"
    await bus.state("venue", "idle")
    assert not alive(pid)


@pytest.mark.parametrize("started", ["always", "on_demand"])
async def test_an_asset_that_leaves_the_configuration_says_so_once(
    supervise: Any, settings: Any, program: Any, bus: Any, subscribe: Any, wait_until: Any, pump: Any, started: str
) -> None:
    supervisor = await supervise(settings({"venue": {"command": program(IDLE), "start": started}}))
    if started == "always":
        await bus.state("venue", "running")
    subscriber = subscribe("venue")
    await supervisor.apply(settings())
    await wait_until(lambda: not pump.arena())  # it is gone for good
    await supervisor.apply(settings({"venue": {"command": program(IDLE)}}))
    supervisor.demand.want("venue")
    await wait_until(lambda: subscriber.of_type("asset")[-1:] and subscriber.of_type("asset")[-1]["state"] == "running")
    told = [(message["state"], message["reason"]) for message in subscriber.of_type("asset")]
    stopping = [("stopping", "ConfigRemoved")] if started == "always" else []
    assert told == [*stopping, ("idle", "ConfigRemoved"), ("starting", "Wanted"), ("running", "Started")]


async def test_the_present_state_can_be_told_as_a_change_is(
    supervise: Any, settings: Any, bus: Any, subscribe: Any, wait_until: Any
) -> None:
    venue = {"command": ["no-such-feed"], "origin": "synthetic"}
    supervisor = await supervise(settings({"venue": venue}, mode="simulation"))
    told = msgspec.json.decode(supervisor.asset_message("venue"))
    assert told == {"type": "asset", "asset": "venue", "state": "idle", "reason": "Configured", "simulated": True}
    subscriber = subscribe("venue")
    supervisor.demand.want("venue")
    await bus.state("venue", "misconfigured")
    await wait_until(lambda: len(subscriber.of_type("asset")) == 2)
    told = msgspec.json.decode(supervisor.asset_message("venue"))
    assert told == subscriber.of_type("asset")[-1]
    assert "no-such-feed" in told["detail"]
    assert supervisor.asset_message("nowhere") is None


async def test_settings_without_a_process_of_their_own_take_effect_at_once(
    supervise: Any, settings: Any, program: Any, bus: Any, pump: Any
) -> None:
    venue = {"command": program(IDLE), "linger_s": 300.0}
    supervisor = await supervise(settings({"venue": venue}))
    supervisor.demand.want("venue")
    running = await bus.state("venue", "running")
    await supervisor.apply(settings({"venue": venue | {"linger_s": 0.0, "kind": "data"}}))
    assert supervisor.status("venue").pid == running.pid
    assert supervisor.status("venue").kind == "data"
    assert pump.arena() == []
    supervisor.demand.unwant("venue")
    await bus.state("venue", "idle")


async def test_start_always_by_reload(supervise: Any, settings: Any, program: Any, bus: Any) -> None:
    venue = {"command": program(IDLE)}
    supervisor = await supervise(settings({"venue": venue}))
    await supervisor.apply(settings({"venue": venue | {"start": "always"}}))
    await bus.state("venue", "running")
    await supervisor.apply(settings({"venue": venue}))
    assert (await bus.state("venue", "idle")).reason == "NoDemand"


@pytest.mark.parametrize(
    ("command", "state"),
    [(["sh", "-c", "exit 78"], "misconfigured"), (["no-such-feed"], "misconfigured"), (["false"], "tripped")],
)
async def test_a_better_configuration_is_tried_at_once(
    command: list[str], state: str, supervise: Any, settings: Any, program: Any, bus: Any
) -> None:
    venue = {"start": "always", "restart": {"circuit_failures": 1}}
    supervisor = await supervise(settings({"venue": venue | {"command": command}}))
    await bus.state("venue", state)
    await supervisor.apply(settings({"venue": venue | {"command": program(IDLE)}}))
    await bus.state("venue", "running", times=1 if command[0] == "no-such-feed" else 2)
    assert supervisor.status("venue").state == "running"


async def test_paused_stays_paused(supervise: Any, settings: Any, program: Any, bus: Any, command_of: Any) -> None:
    venue = {"command": program(IDLE), "start": "always"}
    supervisor = await supervise(settings({"venue": venue}))
    await bus.state("venue", "running")
    await supervisor.pause("venue", origin="test")
    await bus.state("venue", "paused")
    await supervisor.apply(settings({"venue": venue | {"command": ["sleep", "300"]}}))
    await trio.sleep(0.05)
    assert supervisor.status("venue").state == "paused"
    await supervisor.start("venue", origin="test")
    running = await bus.state("venue", "running", times=2)
    assert await command_of(running.pid) == ["sleep", "300"]


async def test_removed_and_added_again_there_are_never_two(
    supervise: Any, settings: Any, program: Any, bus: Any, alive: Any, pump: Any, tmp_path: Path, wait_until: Any
) -> None:
    stubborn = program(STUBBORN, str(tmp_path / "up"))
    venue = {"command": stubborn, "start": "always", "stop_grace_s": 0.5}
    supervisor = await supervise(settings({"venue": venue}))
    first = await bus.state("venue", "running")
    await wait_until((tmp_path / "up").exists)
    with trio.CancelScope() as cancelled:
        cancelled.cancel()
        await supervisor.apply(settings())  # not half done for all that
    assert cancelled.cancelled_caught
    assert supervisor.statuses() == []
    assert alive(first.pid)
    await supervisor.apply(settings({"venue": venue}))
    assert supervisor.status("venue").state == "idle"
    await bus.state("venue", "running", times=2)
    assert not alive(first.pid)
    assert [entry.asset for entry in pump.arena()] == ["venue"]


async def test_wanted_before_it_is_configured(supervise: Any, settings: Any, program: Any, bus: Any) -> None:
    supervisor = await supervise(settings())
    supervisor.demand.want("venue")
    await supervisor.apply(settings({"venue": {"command": program(IDLE)}}))
    await bus.state("venue", "running")


async def test_the_engine_keeps_its_mode_through_a_reload(
    supervise: Any, settings: Any, program: Any, bus: Any
) -> None:
    """A change of mode needs a restart of the engine; its children are not to be told another mode before that."""
    venue = {"command": program(IDLE), "start": "always"}
    supervisor = await supervise(settings({"venue": venue}))
    running = await bus.state("venue", "running")
    await supervisor.apply(settings({"venue": venue}, mode="simulation", admin={"token_env": "OTHER"}))
    assert supervisor.status("venue").pid == running.pid


async def test_apply_needs_a_supervisor_that_runs(pump: Any, bus: Any, log: Any, epoch: str, settings: Any) -> None:
    supervisor = Supervisor(pump=pump, bus=bus, logger=log.logger(), epoch=epoch, mode="production")
    with pytest.raises(RuntimeError):
        await supervisor.apply(settings())


# --- the end --------------------------------------------------------------------------------------------------------


async def test_at_the_end_all_climb_their_ladders_at_the_same_time(
    pump: Any, bus: Any, log: Any, epoch: str, settings: Any, program: Any, tmp_path: Path, wait_until: Any, alive: Any
) -> None:
    polite = program("""
        import signal, sys, time
        from pathlib import Path
        def leave(*_):
            print('good-bye', file=sys.stderr)
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        Path(sys.argv[1]).touch()
        while True: time.sleep(60)
        """, str(tmp_path / "polite"))
    stubborn = program("""
        import signal, subprocess, sys, time
        from pathlib import Path
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(['sleep', '300'], start_new_session=True)
        Path(sys.argv[1]).touch()
        while True: time.sleep(60)
        """)
    always = {"start": "always", "stop_grace_s": 0.6}
    configured = settings(
        {"polite": always | {"command": polite}}
        | {f"stubborn{n}": always | {"command": [*stubborn, str(tmp_path / f"stubborn{n}")]} for n in range(3)}
        | {"crashing": always | {"command": ["false"]}, "idle": {"command": ["false"]}}
    )
    supervisor = Supervisor(pump=pump, bus=bus, logger=log.logger(), epoch=epoch, mode="production")
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run, configured)
        await bus.state("crashing", "backoff")
        await wait_until(lambda: len(list(tmp_path.glob("polite"))) + len(list(tmp_path.glob("stubborn?"))) == 4)
        # The crashing one may have just been started anew.
        pids = [status.pid for status in supervisor.statuses() if status.pid and status.name != "crashing"]
        assert len(pids) == 4
        begun = time.monotonic()
        nursery.cancel_scope.cancel()
    took_s = time.monotonic() - begun
    assert 0.6 <= took_s < 1.7  # three times 0.6 would be one after another
    assert not any(map(alive, pids))
    assert {status.state for status in supervisor.statuses()} == {"idle"}
    for name in ("polite", "stubborn0", "stubborn1", "stubborn2", "crashing"):
        assert (await bus.state(name, "idle")).reason == "EngineStopping"
    assert (await bus.state("polite", "idle")).exit_code == 0
    assert (await bus.state("stubborn0", "idle")).exit_code == -signal.SIGKILL
    # What it said while it was leaving is in the log.
    assert log.find("child says", asset="polite", text="good-bye")
    assert len(log.find("the child left processes behind")) == 3


async def test_ended_in_the_midst_of_starting(
    pump: Any, bus: Any, log: Any, epoch: str, settings: Any, program: Any
) -> None:
    """The supervise fixture's check, for a process that was just being started when the end came."""
    supervisor = Supervisor(pump=pump, bus=bus, logger=log.logger(), epoch=epoch, mode="production", orphan_grace_s=0.2)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run, settings({"venue": {"command": program(IDLE), "start": "always"}}))
        while supervisor.status("venue").state != "starting":
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    status = supervisor.status("venue")
    assert (status.state, status.pid) == ("idle", None)
    assert not [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_of(pid, epoch)]  # noqa: PTH208


def _is_of(pid: int, epoch: str) -> bool:
    try:
        return epoch.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
