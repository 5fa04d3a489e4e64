"""The NOC's WebSocket of a real engine."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import socket
import time
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

PERIOD_S = 1


def dial(engine: Any, **options: Any) -> ClientConnection:
    url = engine.ready["admin"].replace("http", "ws", 1) + options.pop("path", "/v1/noc")
    return connect(url, proxy=None, legacy=True, close_timeout=1, max_size=1 << 24, **options)


def ask(noc: ClientConnection, tools: Any, op: str, **members: Any) -> dict[str, Any]:
    """The answer to a command; what comes in between is dropped."""
    noc.send(json.dumps({"op": op, "id": op, **members}))
    while True:
        message: dict[str, Any] = json.loads(noc.recv(timeout=10))
        if message["type"] in {"done", "error"}:
            assert message["id"] == op
            return message


def heard(noc: ClientConnection, tools: Any, kind: str, within_s: float = 15) -> dict[str, Any]:
    """The next event of a kind on the bus."""
    deadline = time.monotonic() + within_s
    while True:
        message = tools.hear(noc, "event", max(0.1, deadline - time.monotonic()))
        if message["event"]["event"] == kind:
            event: dict[str, Any] = message["event"]
            return event


@pytest.fixture
def noc(engine: Any, tools: Any) -> Any:
    engine.config["assets"]["tick"]["start"] = "always"
    engine.start()
    with dial(engine) as connection:
        welcome = tools.hear(connection, "welcome")
        assert welcome["mode"] == "simulation"
        assert welcome["ports"] == {side: int(engine.ready[side].rpartition(":")[2]) for side in ("public", "stream")}
        yield connection


def test_telemetry_comes_at_once_and_then_at_the_period_that_is_asked_for(engine: Any, noc: Any, tools: Any) -> None:
    assert ask(noc, tools, "watch", telemetry_s=PERIOD_S, events=False)["type"] == "done"
    views = [tools.hear(noc, "telemetry")["telemetry"] for _ in range(4)]
    gaps = [(later["at"] - earlier["at"]) / 1e6 for earlier, later in itertools.pairwise(views)]
    assert all(0.7 < gap < 5 for gap in gaps), gaps  # the machine may be busy; an engine that forgot would take 10 s
    assert set(views[-1]) == set(engine.admin("GET", "/v1/telemetry").json())
    assert ask(noc, tools, "watch")["type"] == "done"
    noc.send('{"op":"ping","id":"last"}')
    while (message := json.loads(noc.recv(timeout=10)))["type"] != "done":
        assert message["type"] == "event"


def test_events_tell_what_happens_to_assets_and_clients(engine: Any, noc: Any, tools: Any) -> None:
    ask(noc, tools, "watch")
    engine.config["assets"]["bad"] = engine.asset("garbage", start="always")
    engine.configure()
    assert heard(noc, tools, "ConfigReloaded")["started"] == ["bad"]
    rejected = heard(noc, tools, "LinesRejected")
    assert (rejected["asset"], rejected["sample"]) == ("bad", "not json")
    uuid = engine.register()
    with engine.connect(uuid) as client:
        tools.hear(client, "welcome")
        assert heard(noc, tools, "ClientConnected")["client"] == uuid
        done = ask(noc, tools, "disconnect", uuid=uuid)
        assert done["result"] == {"client": uuid}
        assert tools.hear(client, "goodbye")["code"] == "disconnected_by_operator"
    tools.until(lambda: engine.client(uuid)["state"] == "waiting")
    assert engine.client(uuid)["last_receipt"]["reason"] == "disconnected_by_operator"
    refused = ask(noc, tools, "disconnect", uuid=uuid)
    assert (refused["type"], refused["problem"]) == ("error", "urn:finstream:problem:wrong-state")


def test_a_kill_comes_with_its_receipt(engine: Any, noc: Any, tools: Any) -> None:
    ask(noc, tools, "watch")
    pid = tools.until(lambda: engine.asset_state("tick")["pid"])
    os.kill(pid, signal.SIGKILL)
    crashed = heard(noc, tools, "AssetStateChanged")
    assert (crashed["asset"], crashed["state"], crashed["reason"], crashed["exit_code"]) == ("tick", "backoff", "Crashed", -9)
    while (event := heard(noc, tools, "AssetStateChanged"))["state"] != "running":
        assert event["reason"] in {"Retry", "Started"}


def test_commands_do_what_rest_does_and_leave_the_same_trace(engine: Any, noc: Any, tools: Any) -> None:
    ask(noc, tools, "watch", events=True)
    host, port = noc.local_address
    origin = f"noc {host}:{port}"
    assert ask(noc, tools, "pause", asset="tick")["result"] == {"asset": "tick", "state": "stopping"}
    tools.until(lambda: engine.asset_state("tick")["state"] == "paused")
    assert ask(noc, tools, "start", asset="tick")["result"]["state"] == "starting"
    tools.until(lambda: engine.asset_state("tick")["state"] == "running")
    assert ask(noc, tools, "restart", asset="tick")["type"] == "done"
    assert ask(noc, tools, "setLogLevel", level="debug")["result"] == {"level": "debug", "previous": "info"}
    assert ask(noc, tools, "simulateMarket", status="open")["result"]["status"] == "open"
    assert ask(noc, tools, "plan")["result"]["unchanged"] == ["tick"]
    assert ask(noc, tools, "reload")["result"]["unchanged"] == ["tick"]
    received = [(line["command"], line["origin"]) for line in engine.log("command received", least=6)]
    assert received == [
        (command, origin) for command in ("pause", "start", "restart", "log level", "simulate market", "reload")
    ]


def test_a_command_over_rest_is_an_event_too(engine: Any, noc: Any, tools: Any) -> None:
    ask(noc, tools, "watch")
    engine.admin("PUT", "/v1/logs/level", json={"level": "debug"})
    event = heard(noc, tools, "CommandReceived")
    assert (event["command"], event["target"]) == ("log level", "debug")
    assert event["origin"].startswith("rest 127.0.0.1")
    assert heard(noc, tools, "LogLevelChanged")["previous"] == "info"


@pytest.mark.parametrize(
    ("request_", "problem", "field"),
    [
        ("{", "malformed-body", None),
        ("[]", "invalid-field", "$"),
        ('{"op":"explode"}', "unknown-operation", "$.op"),
        ('{"op":7}', "unknown-operation", "$.op"),
        ("{}", "unknown-operation", "$.op"),
        ('{"op":"pause"}', "invalid-field", "$.asset"),
        ('{"op":"pause","asset":7}', "invalid-field", "$.asset"),
        ('{"op":"pause","asset":"nix"}', "unknown-asset", None),
        ('{"op":"pause","asset":"tick","extra":1}', "invalid-field", "$.extra"),
        ('{"op":"pause","op":"start","asset":"tick"}', "invalid-field", "$.op"),
        ('{"op":"setLogLevel","level":"loud"}', "invalid-field", "$.level"),
        ('{"op":"watch","telemetry_s":0.1}', "invalid-field", "$.telemetry_s"),
        ('{"op":"watch","logs":{"level":"loud"}}', "invalid-field", "$.logs.level"),
        ('{"op":"plan","text":"asets: {}"}', "config-rejected", "asets"),
        ('{"op":"plan","text":"mode: [}"}', "config-rejected", "the text, line 1, column 8"),
        ('{"op":"plan","text":""}', "config-rejected", "the text"),
        ('{"op":"ping","extra":1}', "invalid-field", "$.extra"),
        ('{"op":"disconnect","uuid":"nobody"}', "unknown-client", None),
        ('{"op":"ping","id":"' + "x" * 200 + '"}', "invalid-field", "$.id"),
        (b"{}", "malformed-body", None),
    ],
)
def test_what_cannot_be_done_is_refused(shared_engine: Any, tools: Any, request_: Any, problem: str, field: Any) -> None:
    with dial(shared_engine) as noc:
        noc.send(request_)
        error = tools.hear(noc, "error")
        assert (error["problem"], error.get("field")) == (f"urn:finstream:problem:{problem}", field)
        assert error["detail"]
        assert ask(noc, tools, "ping")["type"] == "done", "the connection lives on"


@pytest.mark.parametrize(
    ("request_", "op", "given_id"),
    [
        ('{"op":"ping","id":1,"extra":1e400}', "ping", 1),
        ('{"op":"setLogLevel","id":[2],"level":1e400}', "setLogLevel", [2]),
        (r'{"op":"plan","id":"three","text":"\ud800"}', "plan", "three"),
        (r'{"op":"plan","id":"\ud800","text":"x"}', "plan", None),
        (r'{"op":"\ud800","id":5}', None, 5),
        ('{"op":1e400,"id":6}', None, 6),
        ('{"op":"pause","id":7,"asset":"a","asset":"b"}', "pause", 7),
        ('{"op":"ping","id":"' + "x" * 200 + '"}', "ping", None),
        ('{"op":"' + "x" * 5000 + '","id":9}', "x" * 64 + "…", 9),
        ('{"op":"explode","id":null}', "explode", None),
        ('{"op":"ping","id":NaN}', "ping", None),
        ('{"op":"ping","id":10', None, None),
        ("[" * 60_000, None, None),
    ],
)
def test_who_is_refused_knows_which_request_it_was(
    shared_engine: Any, tools: Any, request_: str, op: str | None, given_id: Any
) -> None:
    with dial(shared_engine) as noc:
        origin = "noc {}:{}".format(*noc.local_address)
        noc.send(request_)
        error = tools.hear(noc, "error")
        assert (error.get("op"), error.get("id")) == (op, given_id)
        assert ("op" in error, "id" in error) == (op is not None, given_id is not None)
        line = tools.until(
            lambda: [line for line in shared_engine.log("command refused", least=1) if line["origin"] == origin]
        )[0]
        assert line["op"] == op
        assert "x" * 100 not in json.dumps([error, line])
        assert ask(noc, tools, "ping")["type"] == "done"


def test_an_id_comes_back_as_it_was_written(shared_engine: Any) -> None:
    with dial(shared_engine) as noc:
        noc.recv(timeout=10)
        noc.send('{"op":"ping","id":1e400}')
        assert noc.recv(timeout=10) == '{"type":"done","op":"ping","id":1e400}'


def test_log_lines_that_fit_the_filter(engine: Any, noc: Any, tools: Any) -> None:
    ask(noc, tools, "watch", events=False, logs={"level": "info", "component": "servman", "contains": "LOG LEVEL"})
    engine.register()
    ask(noc, tools, "pause", asset="tick")  # the log tells of it, as another component
    noc.send('{"op":"setLogLevel","level":"warning"}')
    line = tools.hear(noc, "log")["line"]
    assert (line["component"], line["event"], line["command"]) == ("servman", "command received", "log level")
    ask(noc, tools, "watch", events=False, logs={"level": "error"})
    noc.send('{"op":"setLogLevel","level":"info"}')
    noc.send('{"op":"reload","id":"reload"}')
    engine.path.write_text("asets: {}")
    assert tools.hear(noc, "log")["line"]["event"] == "configuration rejected"


def test_the_engine_says_goodbye(engine: Any, noc: Any, tools: Any) -> None:
    ask(noc, tools, "watch", telemetry_s=1)
    engine.process.send_signal(signal.SIGTERM)
    assert tools.hear(noc, "goodbye") == {"type": "goodbye", "code": "engine_stopping"}
    with pytest.raises(Exception, match="1001"):
        noc.recv(timeout=10)
    assert engine.process.wait(10) == 0


def test_a_reboot_is_acknowledged_first(engine: Any, noc: Any, tools: Any) -> None:
    assert ask(noc, tools, "reboot")["type"] == "done"
    assert tools.hear(noc, "goodbye")["code"] == "engine_restarting"
    engine.await_ready()


def test_who_does_not_read_is_dropped_and_takes_nobody_along(engine: Any, tools: Any) -> None:
    # Telemetry of many assets with long commands, so that what the kernel takes in between is soon full.
    engine.config["assets"] |= {f"a{n}": engine.asset("ticker") for n in range(1500)}
    engine.start()
    with dial(engine) as good:
        host, port = engine.ready["admin"].removeprefix("http://").split(":")
        deaf = socket.create_connection((host, int(port)))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        key = base64.b64encode(b"x" * 16).decode()
        deaf.sendall(
            f"GET /v1/noc HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert deaf.recv(12) == b"HTTP/1.1 101"
        text = b'{"op":"telemetry"}'
        for _ in range(40):  # a megabyte or so each
            deaf.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        ask(good, tools, "watch", telemetry_s=1)
        dropped = engine.log("a connection of the NOC was dropped", least=1)[0]
        assert dropped["reason"] in {"slow_consumer_bytes", "slow_consumer_age"}
        assert dropped["origin"] == "noc {}:{}".format(*deaf.getsockname())
        tools.hear(good, "telemetry")
        servers = tools.until(lambda: (s := engine.admin("GET", "/v1/telemetry").json()["servers"])["noc_connections"] == 1 and s)
        assert servers["noc_dropped"] == 1
        assert engine.public("GET", "/health/readiness").status_code == 200
    deaf.close()
    assert engine.stop() == 0


def test_frames_before_the_handshake_is_answered_end_that_connection_only(engine: Any, noc: Any, tools: Any) -> None:
    host, port = engine.ready["admin"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as hasty:
        hasty.sendall(
            f"GET /v1/noc HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'x' * 22}==\r\n\r\n".encode()
            + b"\x81\x80\0\0\0\0"
        )
        while hasty.recv(4096):
            pass
    assert ask(noc, tools, "ping")["type"] == "done"


def test_a_page_of_a_foreign_origin_is_not_let_in(shared_engine: Any, tools: Any) -> None:
    for options, status in (
        ({"origin": "https://evil.com"}, 403),
        ({"path": "/v1/other"}, 404),
    ):
        with pytest.raises(InvalidStatus) as refused:
            dial(shared_engine, **options)
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["content-type"] == "application/problem+json"
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}
    assert shared_engine.admin("GET", "/v1/noc", headers={**upgrade, "Host": "evil.com"}).status_code == 403
    with dial(shared_engine, origin=shared_engine.ready["admin"]) as ours:
        tools.hear(ours, "welcome")


def test_the_token_is_needed_where_rest_needs_it(engine: Any, tools: Any) -> None:
    engine.environment["FINSTREAM_ADMIN_TOKEN"] = "secret/ü"
    engine.start()

    def offer(token: str) -> list[Any]:
        return ["finstream.noc", "finstream.token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")]

    for options in ({}, {"additional_headers": {"Authorization": "Bearer wrong"}}, {"subprotocols": offer("wrong")}):
        with pytest.raises(InvalidStatus) as refused:
            dial(engine, **options)
        assert refused.value.response.status_code == 401
    with dial(engine, subprotocols=offer("secret/ü")) as noc:
        assert noc.subprotocol == "finstream.noc"
        tools.hear(noc, "welcome")
    assert "secret" not in engine.log_text()
