"""Assets through their lives: real ingestors, the real pump."""

from __future__ import annotations

import os
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


# --- endings --------------------------------------------------------------------------------------------------------


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


# --- lines ----------------------------------------------------------------------------------------------------------

WRITER = """
    import os, sys
    n, batch, confirmed = 0, 50, os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
    while True:
        tick = b'{"symbol":"X","price":"1","ts":1700000000,"trade_id":%d,"pad":"%s"}\\n'
        lines = b''.join(tick % (n + i, b'p' * (i * 7)) for i in range(batch))
        written = 0
        while written < len(lines):
            written += os.write(1, lines[written:])
        n += batch
        os.pwrite(confirmed, b'%d\\n' % n, 0)
"""


@pytest.mark.parametrize("unbuffer", ["none", "pty"])
async def test_killing_an_ingestor_under_load_loses_no_completed_line(
    unbuffer: str, supervise: Any, settings: Any, program: Any, bus: Any, subscribe: Any, tmp_path: Path,
    wait_until: Any, pump: Any,
) -> None:
    note = tmp_path / "written"
    supervisor = await supervise(
        settings({
            "venue": {
                "command": program(WRITER, str(note)), "unbuffer": unbuffer, "restart": {"initial_s": 60.0},
                "quality": {"max_age_ms": None},
            }
        })
    )
    subscriber = subscribe("venue")
    supervisor.demand.want("venue")
    running = await bus.state("venue", "running")
    await wait_until(lambda: len(subscriber.of_type("tick")) > 5_000)
    os.kill(running.pid, signal.SIGKILL)
    await bus.state("venue", "backoff")

    confirmed = int(note.read_text().split()[0])
    handle = pump.asset_handle("venue")
    published = pump.asset_statistics(handle).ticks
    assert published >= confirmed > 5_000
    await wait_until(lambda: len(subscriber.of_type("tick")) == published)
    trades = [int(message["trade_id"]) for message in subscriber.of_type("tick")]
    assert trades == list(range(published))
    # At most the one line that was cut by the kill is not a line.
    assert pump.asset_statistics(handle).rejected in ({}, {"unterminated_line": 1})


async def test_a_pipe_that_stays_full_ends_its_ingestor(
    supervise: Any, settings: Any, program: Any, bus: Any, alive: Any
) -> None:
    flood = program("""
        import os
        # Lines that take longer to parse than to write, each a page of the pipe.
        line = '{"symbol":"X","price":"1","ts":1,' + ','.join(f'"m{n}":{n}' for n in range(300)) + '}'
        lines = (line.ljust(4095) + '\\n').encode() * 256
        os.fork()  # two writers, so that one is always at it
        while True: os.write(1, lines)
        """)
    restart = {"initial_s": 60.0}
    supervisor = await supervise(
        settings({"venue": {"command": flood, "stdout_full_s": 0.05, "stop_grace_s": 30.0, "restart": restart}})
    )
    supervisor.demand.want("venue")
    stopping = await bus.state("venue", "stopping")
    assert stopping.reason == "BackpressureOverflow"
    failed = await bus.state("venue", "backoff")
    assert (failed.reason, failed.exit_code) == ("BackpressureOverflow", -signal.SIGKILL)
    assert not alive(stopping.pid)


async def test_a_replay_may_fill_its_pipe(supervise: Any, settings: Any, bus: Any) -> None:
    flood = ["yes", '{"symbol":"X","price":"1","ts":1700000000,"pad":"' + "p" * 200 + '"}']
    supervisor = await supervise(
        settings({"venue": {"command": flood, "stdout_full_s": 0.1, "origin": "replay"}}, mode="simulation")
    )
    supervisor.demand.want("venue")
    await bus.state("venue", "running")
    await trio.sleep(0.5)
    assert supervisor.status("venue").state == "running"


async def test_lines_in_blocks_are_remarked_on_once(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any, wait_until: Any
) -> None:
    blocks = program("""
        import os, time
        line = b'{"symbol":"X","price":"1","ts":%d}' % time.time_ns()
        lines = (line.ljust(100) + b'\\n') * 40960
        for start in range(0, len(lines), 4096):
            os.write(1, lines[start:start + 4096])
            time.sleep(0.03)
        """)
    supervisor = await supervise(settings({"venue": {"command": blocks, "start": "always"}}))
    record = await log.wait_for("its standard output is buffered", asset="venue")
    assert record["level"] == "warning"
    assert record["block_bytes"] == 4096
    assert "unbuffer: stdbuf" in record["remedy"]
    # The next process is no news.
    await supervisor.restart("venue", origin="test")
    await bus.state("venue", "running", times=2)
    await trio.sleep(1.0)
    assert len(log.find("its standard output is buffered")) == 1


async def test_standard_error_goes_to_the_log_and_a_flood_is_counted(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any
) -> None:
    talkative = program("""
        import sys
        print('{"level":"warning","message":"venue is slow","lag_ms":5}', file=sys.stderr)
        for n in range(5000):
            print('line', n, file=sys.stderr)
        """)
    supervisor = await supervise(settings({"venue": {"command": talkative}}))
    supervisor.demand.want("venue")
    await bus.state("venue", "done")
    [first] = log.find("child says", text="venue is slow")
    assert (first["level"], first["fields"], first["asset"], first["stream"]) == (
        "warning", {"lag_ms": 5}, "venue", "stderr",
    )
    logged = [record for record in log.find("child says") if record.get("text", "").startswith("line ")]
    left_out = sum(record["lines"] for record in log.find("child says too much"))
    assert len(logged) < 1000
    assert len(logged) + left_out == 5000


async def test_the_child_is_told_who_it_is(supervise: Any, settings: Any, program: Any, bus: Any, log: Any) -> None:
    telling = program("""
        import os, sys
        names = ('FINSTREAM_ASSET', 'FINSTREAM_MODE', 'PYTHONUNBUFFERED', 'KEY')
        print({name: os.environ.get(name) for name in names}, sys.stdin.read() == '', file=sys.stderr)
        """)
    supervisor = await supervise(settings({"venue": {"command": telling, "env": {"KEY": "k"}}}))
    supervisor.demand.want("venue")
    await bus.state("venue", "done")
    told = {"FINSTREAM_ASSET": "venue", "FINSTREAM_MODE": "production", "PYTHONUNBUFFERED": "1", "KEY": "k"}
    assert log.find("child says", text=f"{told} True")


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
