"""The memory guard in a real engine: those that matter least go first, and whoever reads loses nothing."""

from __future__ import annotations

import base64
import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

MIB = 1 << 20
STEADY = """
import os, sys, time
while len(sys.argv) > 1 and not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
filler = 'x' * 800
while True:
    for _ in range(20):
        print('{"symbol":"X","bid_price":"1","ts":%d,"filler":"%s"}' % (time.time_ns(), filler))
    sys.stdout.flush()
    time.sleep(0.01)
"""
"""About two megabytes a second, once the file exists that may be its argument."""


def register(engine: Any, client_class: str) -> str:
    answer = engine.public("POST", "/v1/clients", json={"class": client_class})
    assert answer.status_code == 201, answer.text
    uuid: str = answer.json()["uuid"]
    assert engine.public("PUT", f"/v1/clients/{uuid}/subscriptions", json={"topics": ["steady"]}).status_code == 200
    return uuid


def stall(engine: Any, uuid: str) -> socket.socket:
    """A client that shakes hands and never reads on. It is connected when this returns."""
    host, port = engine.ready["stream"].removeprefix("ws://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # else loopback keeps megabytes for it outside of the engine
    client.connect((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /v1/stream?client={uuid} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    client.settimeout(10)
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


@pytest.fixture
def guarded(engine: Any) -> Any:
    """Outboxes that may grow further than all of them together may."""
    script = Path(engine.directory) / "steady.py"
    script.write_text(STEADY)
    engine.config["assets"]["steady"] = {"command": ["python", str(script)], "origin": "synthetic"}
    engine.config["limits"] = {
        "outbox_bytes": 64 * MIB, "outbox_age_ms": 600_000, "memory_soft_bytes": 8 * MIB, "memory_hard_bytes": 16 * MIB,
    }  # fmt: skip
    engine.config["client_classes"] = {"gold": {"priority": 9}, "lead": {"priority": 1}}
    return engine


def test_the_least_important_go_first_with_a_receipt(guarded: Any, tools: Any) -> None:
    engine = guarded.start()
    reader, gold = register(engine, "gold"), register(engine, "gold")
    lead = [register(engine, "lead") for _ in range(4)]
    with ExitStack() as opened:
        client = opened.enter_context(engine.connect(reader))
        tools.hear(client, "welcome")
        for uuid in [gold, *lead]:
            opened.enter_context(stall(engine, uuid))
        seq = tools.hear(client, "tick")["seq"]
        while any("last_receipt" not in engine.client(uuid) for uuid in lead):
            assert engine.client(gold)["state"] == "connected", "not while there are others"
            for _ in range(50):
                tick = tools.hear(client, "tick")
                assert tick["seq"] == seq + 1, "whoever reads loses nothing"
                seq = tick["seq"]
        for uuid in lead:
            receipt = engine.client(uuid)["last_receipt"]
            assert receipt["reason"] == "memory_pressure"
            assert receipt["queued_bytes"] > 0
            assert receipt["queued_messages"] > 0
        told = {line["client"]: line for line in engine.log("client disconnected", len(lead))}
        assert all(told[uuid]["level"] == "warning" for uuid in lead)
        tools.until(lambda: {line["memory"] for line in engine.log("memory mark crossed")} >= {"soft", "normal"})
        assert engine.client(gold)["state"] == "connected"
        assert engine.client(reader)["statistics"]["killed"] == 0


def test_above_the_hard_mark_nobody_new_comes_in_and_assets_pause_until_it_is_over(guarded: Any, tools: Any) -> None:
    """Nothing can be evicted: what waits are the beginnings of lines, until their ingestors pause."""
    partial = Path(guarded.directory) / "partial.sh"
    partial.write_text("head -c 60000 /dev/zero | tr '\\0' x; exec sleep 600\n")
    names = [f"partial{n}" for n in range(30)]
    for name in names:
        command = {"command": ["sh", str(partial)], "origin": "synthetic", "start": "always", "priority": 1}
        guarded.config["assets"][name] = command
    guarded.config["limits"] |= {"memory_soft_bytes": MIB, "memory_hard_bytes": MIB}
    engine = guarded.start()
    uuid, other = register(engine, "lead"), register(engine, "gold")
    with stall(engine, uuid):
        tools.until(lambda: engine.public("GET", "/health/readiness").json()["memory"] == "hard", within_s=40)
        refused = engine.public("POST", "/v1/clients")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["type"] == "urn:finstream:problem:memory-pressure"
        with pytest.raises(InvalidStatus) as not_let_in:
            engine.connect(other)
        assert not_let_in.value.response.status_code == 503
        assert tools.until(lambda: engine.client(uuid).get("last_receipt"))["reason"] == "memory_pressure"
        paused = tools.until(lambda: engine.log("assets pause: too much waits in memory"))[0]
        assert paused["assets"] == names, "steady is more important"
        told = tools.until(lambda: engine.log("assets go on: memory is there again"))[0]
        assert told["assets"] == names
        # They begin anew, and so may all of it: what happened is in the log.
        states = tools.until(lambda: states_of(engine, names[0], "MemoryRelieved"))
        assert ("stopping", "MemoryPressure") in states
        assert states[-1] == ("idle", "MemoryRelieved")
        assert not states_of(engine, "steady", "MemoryPressure")


def states_of(engine: Any, asset: str, up_to: str) -> list[tuple[str, str]]:
    """Its states with their reasons, up to the first one for that reason; none if there is no such."""
    changes = [line for line in engine.log("child changed state") if line.get("asset") == asset]
    states = [(line["state"], line["reason"]) for line in changes]
    last = next((n for n, (_state, reason) in enumerate(states) if reason == up_to), -1)
    return states[: last + 1]


def test_what_waits_for_a_sink_counts_too(guarded: Any, tools: Any) -> None:
    guarded.config["sinks"] = {"stuck": {"command": ["sleep", "600"], "topics": ["steady"], "priority": 0}}
    engine = guarded.start()
    (cut_off,) = tools.until(lambda: engine.log("the sink was cut off"), within_s=40)[:1]
    assert cut_off["reason"] == "memory_pressure"
    assert cut_off["queued_bytes"] > 4 * MIB


def test_marks_that_are_lowered_hold_at_once(guarded: Any, tools: Any) -> None:
    guarded.config["limits"] |= {"memory_soft_bytes": 512 * MIB, "memory_hard_bytes": 512 * MIB}
    engine = guarded.start()
    uuid = register(engine, "lead")
    with stall(engine, uuid):
        tools.until(lambda: engine.client(uuid)["statistics"]["queued_bytes"] > 4 * MIB, within_s=40)
        assert engine.public("GET", "/health/readiness").json()["memory"] == "normal"
        engine.config["limits"] |= {"memory_soft_bytes": 2 * MIB, "memory_hard_bytes": 256 * MIB}
        engine.configure()
        assert engine.admin("POST", "/v1/config/reload").status_code == 200
        receipt = tools.until(lambda: engine.client(uuid).get("last_receipt"))
        assert receipt["reason"] == "memory_pressure"
        tools.until(lambda: engine.public("GET", "/health/readiness").json()["memory"] == "normal")


@pytest.mark.slow
def test_a_thousand_stalled_clients_stay_within_the_marks(guarded: Any, tools: Any) -> None:
    count = 1000
    need_descriptors(2 * count)
    go = Path(guarded.directory) / "go"
    guarded.config["assets"]["steady"]["command"].append(str(go))
    engine = guarded.start()
    reader, gold = register(engine, "gold"), register(engine, "gold")
    stalled = [register(engine, "lead") for _ in range(count)]
    before = resident_bytes(engine.process.pid)
    with ExitStack() as opened:
        client = opened.enter_context(engine.connect(reader))
        tools.hear(client, "welcome")
        for uuid in [gold, *stalled]:
            opened.enter_context(stall(engine, uuid))
        go.touch()
        seq, most, gone = 0, 0, 0
        while gone < count:
            for _ in range(200):
                tick = tools.hear(client, "tick")
                assert tick["seq"] == seq + 1, "whoever reads loses nothing"
                seq = tick["seq"]
            most = max(most, resident_bytes(engine.process.pid))
            gone = engine.log_text().count('"client disconnected"')
        assert most - before < 16 * MIB + 16 * MIB, "the hard mark, and what sockets, receipts and the log's lines take"
        assert engine.client(gold)["state"] == "connected", "who matters more is there as long as others are"
        for uuid in reader, gold:
            statistics = engine.client(uuid)["statistics"]
            assert (statistics["killed"], statistics["skipped"]) == (0, 0)
        told = {line["client"]: line for line in engine.log("client disconnected")}
        assert {told[uuid]["reason"] for uuid in stalled} == {"memory_pressure"}


def need_descriptors(count: int) -> None:
    """Let this process, and the engine that it starts, open so many."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"needs {count} descriptors, and only {hard} may be opened here (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_client_that_was_let_go_hears_why_if_it_reads_on(guarded: Any, tools: Any) -> None:
    engine = guarded.start()
    uuid = register(engine, "lead")
    with engine.connect(uuid, max_queue=4) as client:
        tools.until(lambda: engine.log("memory mark crossed"), within_s=40)
        goodbye = tools.hear(client, "goodbye")
        assert (goodbye["code"], goodbye["close_code"], goodbye["reconnect"]) == ("memory_pressure", 4007, True)
    tools.until(lambda: engine.client(uuid)["state"] == "waiting")
    assert engine.client(uuid)["last_receipt"]["reason"] == "memory_pressure"
