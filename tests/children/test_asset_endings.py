"""How the processes of assets end, and what comes after: pauses, the circuit, states that are final."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import trio


async def test_a_crash_is_followed_by_a_pause_and_a_restart(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any
) -> None:
    crashing = program("import sys; print('no route to venue', file=sys.stderr); sys.exit(3)")
    restart = {"initial_s": 0.2, "circuit_failures": 100}
    supervisor = await supervise(
        settings({"venue": {"command": crashing, "restart": restart}}), wall_us=lambda: 1_000_000
    )
    supervisor.demand.want("venue")
    failed = await bus.state("venue", "backoff")
    assert (failed.reason, failed.detail, failed.exit_code) == ("Crashed", "exit code 3", 3)
    status = supervisor.status("venue")
    assert (status.next_attempt_us, status.restarts) == (1_100_000, 0)  # half of initial_s: the jitter of these tests
    await bus.state("venue", "running", times=2)
    again = supervisor.status("venue")
    assert (again.restarts, again.next_attempt_us, again.last_exit_code) == (1, None, 3)
    [record, *_] = log.find("child changed state", state="backoff")
    assert (record["level"], record["asset"], record["last_words"]) == ("warning", "venue", "no route to venue")


async def test_ended_by_a_signal(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": ["sh", "-c", "kill -SEGV $$"]}}))
    supervisor.demand.want("venue")
    failed = await bus.state("venue", "backoff")
    assert (failed.detail, failed.exit_code) == ("ended by SIGSEGV", -signal.SIGSEGV)


async def test_a_crash_loop_trips_and_gets_one_attempt_after_the_cooldown(
    supervise: Any, settings: Any, bus: Any, log: Any
) -> None:
    restart = {"initial_s": 0.01, "circuit_failures": 3, "circuit_cooldown_s": 0.3, "circuit_window_s": 60}
    supervisor = await supervise(settings({"venue": {"command": ["false"], "restart": restart}}))
    supervisor.demand.want("venue")
    tripped = await bus.state("venue", "tripped")
    assert tripped.reason == "CrashLoop"
    assert tripped.detail == "3 failures in a row, the last one Crashed: exit code 1"
    assert bus.states("venue") == ["starting", "running", "backoff"] * 2 + ["starting", "running", "tripped"]
    status = supervisor.status("venue")
    assert status.next_attempt_us is not None
    assert 0 < status.next_attempt_us - status.since_us <= 300_100
    # One attempt, and the circuit is open again.
    await bus.state("venue", "tripped", times=2)
    assert bus.states("venue")[-3:] == ["starting", "running", "tripped"]
    assert log.find("child changed state", state="tripped", level="error")


async def test_an_operators_start_closes_the_circuit(supervise: Any, settings: Any, bus: Any) -> None:
    restart = {"initial_s": 0.01, "circuit_failures": 2}
    supervisor = await supervise(settings({"venue": {"command": ["false"], "restart": restart}}))
    supervisor.demand.want("venue")
    await bus.state("venue", "tripped")
    await supervisor.start("venue", origin="test")
    await bus.state("venue", "tripped", times=2)
    assert bus.states("venue") == ["starting", "running", "backoff", "starting", "running", "tripped"] * 2


async def test_a_pause_after_a_failure_is_waited_out_whoever_comes_and_goes(
    supervise: Any, settings: Any, bus: Any
) -> None:
    restart = {"initial_s": 0.6, "circuit_failures": 100}
    supervisor = await supervise(settings({"venue": {"command": ["false"], "restart": restart}}))
    supervisor.demand.want("venue")
    await bus.state("venue", "backoff")
    for _ in range(5):
        supervisor.demand.unwant("venue")
        await trio.sleep(0.01)
        supervisor.demand.want("venue")
    assert supervisor.status("venue").state == "backoff"
    supervisor.demand.unwant("venue")
    assert (await bus.state("venue", "idle")).reason == "NoDemand"
    assert bus.states("venue") == ["starting", "running", "backoff", "idle"]


async def test_done_until_somebody_newly_wants_it(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": ["true"]}}))
    supervisor.demand.want("venue")
    done = await bus.state("venue", "done")
    assert (done.reason, done.exit_code) == ("Finished", 0)
    await trio.sleep(0.1)
    supervisor.demand.unwant("venue")
    await trio.sleep(0.1)
    assert supervisor.status("venue").state == "done"
    supervisor.demand.want("venue")
    await bus.state("venue", "done", times=2)


async def test_78_is_final_until_an_operator_says_otherwise(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": ["sh", "-c", "exit 78"]}}))
    supervisor.demand.want("venue")
    wrong = await bus.state("venue", "misconfigured")
    assert (wrong.reason, wrong.exit_code) == ("WrongConfiguration", 78)
    supervisor.demand.want("venue")
    await trio.sleep(0.1)
    assert supervisor.status("venue").state == "misconfigured"
    await supervisor.start("venue", origin="test")
    await bus.state("venue", "misconfigured", times=2)


async def test_a_missing_command_is_a_matter_of_configuration(supervise: Any, settings: Any, bus: Any) -> None:
    supervisor = await supervise(settings({"venue": {"command": ["no-such-feed"]}}))
    supervisor.demand.want("venue")
    wrong = await bus.state("venue", "misconfigured")
    assert (wrong.reason, wrong.exit_code) == ("CannotStart", None)
    assert "there is no 'no-such-feed'" in wrong.detail
    assert bus.states("venue") == ["starting", "misconfigured"]


async def test_an_ingestor_that_closes_its_output_and_stays_is_stopped(
    supervise: Any, settings: Any, program: Any, bus: Any
) -> None:
    deaf = program("import os, time; os.close(1); time.sleep(300)")
    supervisor = await supervise(settings({"venue": {"command": deaf, "stop_grace_s": 0.2}}))
    supervisor.demand.want("venue")
    assert (await bus.state("venue", "stopping")).reason == "StdoutClosed"
    assert (await bus.state("venue", "backoff")).reason == "StdoutClosed"


async def test_one_who_ignores_sigterm_is_killed_with_all_its_descendants(
    supervise: Any, settings: Any, program: Any, bus: Any, tmp_path: Path, wait_until: Any, alive: Any
) -> None:
    family = tmp_path / "family"
    stubborn = program("""
        import os, signal, subprocess, sys, time
        from pathlib import Path
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # its children inherit that
        pids = [os.getpid()]
        for options in ({}, {'start_new_session': True}):
            pids.append(subprocess.Popen(['sleep', '300'], **options).pid)
        Path(sys.argv[1] + '.new').write_text(' '.join(map(str, pids)))
        os.rename(sys.argv[1] + '.new', sys.argv[1])
        while True: time.sleep(60)
        """, str(family))
    supervisor = await supervise(settings({"venue": {"command": stubborn, "stop_grace_s": 0.3}}))
    supervisor.demand.want("venue")
    await wait_until(family.exists)
    pids = list(map(int, family.read_text().split()))
    assert all(map(alive, pids))
    supervisor.demand.unwant("venue")
    idle = await bus.state("venue", "idle")
    assert idle.exit_code == -signal.SIGKILL
    assert not any(map(alive, pids))


async def test_what_a_crashed_ingestor_leaves_behind_is_ended_before_it_is_started_again(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any, tmp_path: Path, alive: Any
) -> None:
    note = tmp_path / "pid"
    crashing = program("""
        import subprocess, sys
        from pathlib import Path
        # Holds the pipe open, too.
        Path(sys.argv[1]).write_text(str(subprocess.Popen(['sleep', '300'], start_new_session=True).pid))
        sys.exit(1)
        """, str(note))
    supervisor = await supervise(settings({"venue": {"command": crashing}}))
    supervisor.demand.want("venue")
    await bus.state("venue", "backoff")
    pid = int(note.read_text())
    assert not alive(pid)
    [record] = log.find("the child left processes behind")
    assert record["pids"] == [pid]
