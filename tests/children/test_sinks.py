"""Sinks: programs that read messages on their standard input."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

TICKS = """
    import json, sys, time
    symbols, count = sys.argv[1].split(','), int(sys.argv[2])
    for n in range(count):
        line = {'symbol': symbols[n % len(symbols)], 'price': '1', 'ts': time.time_ns(), 'trade_id': n}
        print(json.dumps(line), flush=n % 50 == 0)
    sys.stdout.flush()
    time.sleep(300)
"""

# A sink as it should be: it ends with its input.
FILE = """
    import os, sys
    with open(sys.argv[1], 'wb', buffering=0) as file:
        for line in sys.stdin.buffer:
            file.write(line)
        file.write(b'the end\\n')
    print('wrote it all')
"""


def messages(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line != b"the end"]


def ticks(path: Path) -> list[dict[str, Any]]:
    return [message for message in messages(path) if message["type"] == "tick"]


async def test_a_sink_gets_its_lines_and_creates_the_demand(
    supervise: Any, settings: Any, program: Any, bus: Any, tmp_path: Path, wait_until: Any
) -> None:
    written = tmp_path / "written"
    supervisor = await supervise(
        settings(
            {
                "a": {"command": program(TICKS, "X,Y", "1000")},
                "b": {"command": program(TICKS, "X,Y/Z", "1000")},
                "c": {"command": program(TICKS, "X", "1000")},
            },
            {"file": {"command": program(FILE, str(written)), "topics": ["a", "b:Y/Z"]}},
        )
    )
    await wait_until(lambda: len(ticks(written)) == 1500)
    even, odd = range(0, 1000, 2), range(1, 1000, 2)
    for asset, symbol, numbers in [("a", "X", even), ("a", "Y", odd), ("b", "Y/Z", odd)]:
        found = [int(t["trade_id"]) for t in ticks(written) if (t["asset"], t["symbol"]) == (asset, symbol)]
        assert found == list(numbers)
    assert {message["asset"] for message in messages(written)} == {"a", "b"}
    assert (supervisor.status("a").wanted_by, supervisor.status("b").wanted_by) == (1, 1)
    assert supervisor.status("c").state == "idle"


async def test_a_sink_that_leaves_the_configuration_reads_to_the_end_first(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any, tmp_path: Path, wait_until: Any, pump: Any
) -> None:
    written = tmp_path / "written"
    slow = program("""
        import sys, time
        time.sleep(0.5)  # its lines wait in the pump and in the socket
        """ + FILE.replace("\n    ", "\n        "), str(written))
    assets = {"a": {"command": program(TICKS, "X", "5000"), "start": "always"}}
    supervisor = await supervise(settings(assets, {"file": {"command": slow, "topics": ["a"], "stop_grace_s": 20.0}}))
    await bus.state("a", "running")
    await wait_until(lambda: supervisor.status("a").wanted_by == 1)
    await wait_until(lambda: pump.asset_statistics(pump.asset_handle("a")).ticks == 5000)
    await supervisor.apply(settings(assets))
    await log.wait_for("child says", stream="stdout", sink="file", text="wrote it all")
    assert written.read_bytes().endswith(b"\nthe end\n")
    assert [int(tick["trade_id"]) for tick in ticks(written)] == list(range(5000))
    await wait_until(lambda: supervisor.status("a").wanted_by == 0)


async def test_a_sink_that_does_not_read_is_ended_with_a_receipt_and_started_again(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any, wait_until: Any
) -> None:
    assets = {"a": {"command": ["yes", '{"symbol":"X","price":"1","ts":1700000000}'], "quality": {"max_age_ms": None}}}
    sinks = {"stuck": {"command": ["sleep", "300"], "topics": ["a"], "restart": {"initial_s": 0.01}}}
    await supervise(settings(assets, sinks))
    receipt = await log.wait_for("the sink was cut off", sink="stuck")
    assert receipt["reason"] in {"slow_consumer_bytes", "slow_consumer_age"}
    assert receipt["killed"] > 0
    assert (receipt["last_asset"], receipt["last_seq"]) == ("a", receipt["delivered"])
    stopping = await log.wait_for("child changed state", sink="stuck", state="stopping")
    assert stopping["reason"] == "SlowSink"
    failed = await log.wait_for("child changed state", sink="stuck", state="backoff")
    assert (failed["reason"], failed["exit_code"]) == ("SlowSink", -signal.SIGKILL)
    await wait_until(lambda: len(log.find("child changed state", sink="stuck", state="running")) >= 2)


async def test_a_sink_that_crashes_is_started_again_and_its_demand_with_it(
    supervise: Any, settings: Any, program: Any, bus: Any, log: Any, wait_until: Any
) -> None:
    reader = ["cat"]
    supervisor = await supervise(
        settings(
            {"a": {"command": program(TICKS, "X", "10"), "linger_s": 0.0}},
            {"file": {"command": reader, "topics": ["a"], "restart": {"initial_s": 1.0}}},
        )
    )
    running = await log.wait_for("child changed state", sink="file", state="running")
    first = await bus.state("a", "running")
    os.kill(running["pid"], signal.SIGKILL)
    await log.wait_for("child changed state", sink="file", state="backoff")
    # Nobody wants the asset meanwhile.
    assert (await bus.state("a", "stopping")).reason == "NoDemand"
    second = await bus.state("a", "running", times=2)
    assert second.pid != first.pid
    assert supervisor.status("a").wanted_by == 1


async def test_a_sink_that_closes_its_input_and_stays_is_stopped(
    supervise: Any, settings: Any, program: Any, log: Any, bus: Any
) -> None:
    deaf = program("import os, time; os.close(0); time.sleep(300)")
    await supervise(
        settings(
            {"a": {"command": program(TICKS, "X", "10")}},
            {"deaf": {"command": deaf, "topics": ["a"], "stop_grace_s": 0.2}},
        )
    )
    assert (await log.wait_for("child changed state", sink="deaf", state="backoff"))["reason"] == "StdinClosed"


async def test_a_topic_of_no_asset_is_remarked_on(supervise: Any, settings: Any, log: Any) -> None:
    await supervise(settings({}, {"file": {"command": ["cat"], "topics": ["nowhere:X"]}}))
    record = await log.wait_for("the sink's topic names an asset that does not exist")
    assert (record["topic"], record["sink"]) == ("nowhere:X", "file")
