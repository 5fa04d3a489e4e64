"""What goes through the pipes of an asset's process: lines, its standard error, and what it is told at its start."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

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
