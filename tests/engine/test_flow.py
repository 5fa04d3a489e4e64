"""From an ingestor's standard output to a stock WebSocket client, and what operators and clients do on the way."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("urn:finstream:problem:")


def test_subscribe_and_get_ticks(engine: Any, tools: Any) -> None:
    engine.start()
    uuid = engine.register()
    assert engine.asset_state("tick")["state"] == "idle"  # nobody wants it
    with engine.connect(uuid) as client:
        welcome = tools.hear(client)
        assert (welcome["type"], welcome["client"], welcome["simulated"]) == ("welcome", uuid, True)
        client.send(json.dumps({"op": "subscribe", "topics": ["tick"], "id": 1}))
        assert tools.hear(client)["type"] == "subscribed"
        ticks = [tools.hear(client, "tick") for _ in range(20)]
        for number, tick in enumerate(ticks, ticks[0]["seq"]):
            assert tick == {
                "type": "tick", "asset": "tick", "seq": number, "symbol": "BTC/USDT", "exchange": "tick",
                "price": str(number), "volume": "0.5", "trade_id": str(number), "ts_event": tick["ts_event"],
                "ts_recv": tick["ts_recv"], "simulated": True,
            }  # fmt: skip
            assert 0 <= tick["ts_recv"] - tick["ts_event"] < 5_000_000
        view = engine.client(uuid)
        assert (view["state"], view["topics"]) == ("connected", ["tick"])
        assert view["statistics"]["delivered"] >= 20
        assert view["statistics"]["last_asset"] == "tick"
        (place,) = engine.public("GET", "/v1/arena").json()["arena"]
        assert (place["rank"], place["asset"], place["degraded"]) == (1, "tick", False)
        assert place["ticks"] >= 20
        by_symbol = engine.public("GET", "/v1/arena", params={"symbol": "BTC/USDT"}).json()["arena"]
        assert [each["asset"] for each in by_symbol] == ["tick"]
        assert engine.public("GET", "/v1/arena?symbol=X").json() == {"arena": []}
        detail = engine.asset_state("tick")
        assert (detail["state"], detail["wanted_by"]) == ("running", 1)
        assert detail["statistics"]["ticks"] >= 20
    tools.until(lambda: engine.asset_state("tick")["state"] == "idle")  # nobody wants it any more
    receipt = engine.client(uuid)["last_receipt"]
    assert (receipt["reason"], receipt["last_asset"]) == ("client_left", "tick")
    assert receipt["last_seq"] >= 20


def test_topics_over_rest_and_back_after_a_reconnect(engine: Any, tools: Any) -> None:
    engine.config["assets"]["other"] = engine.asset("ticker", env={"SYMBOL": "AAPL"})
    engine.start()
    uuid = engine.register()
    path = f"/v1/clients/{uuid}/subscriptions"
    assert engine.public("GET", path).json() == {"topics": []}
    assert engine.public("POST", path, json={"topics": ["tick", "other:AAPL"]}).json() == {
        "topics": ["tick", "other:AAPL"]
    }
    answer = engine.http.request("DELETE", engine.ready["public"] + path, json={"topics": ["tick"]})
    assert answer.json() == {"topics": ["other:AAPL"]}
    with engine.connect(uuid) as client:
        assert tools.hear(client)["topics"] == ["other:AAPL"]
        assert tools.hear(client, "tick")["symbol"] == "AAPL"
        assert engine.public("PUT", path, json={"topics": ["tick:BTC/USDT"]}).json() == {"topics": ["tick:BTC/USDT"]}
        tools.until(lambda: tools.hear(client, "tick")["asset"] == "tick")  # while it is connected, too
    with engine.connect(uuid) as client:
        assert tools.hear(client)["topics"] == ["tick:BTC/USDT"]
        assert tools.hear(client, "tick")["asset"] == "tick"
    answer = engine.public("POST", path, json={"topics": ["tick:A", "nowhere"]})
    assert problem(answer) == (404, "unknown-asset")
    assert answer.json()["field"] == "$.topics[1]"
    assert engine.public("GET", path).json() == {"topics": ["tick:BTC/USDT"]}
    assert engine.public("DELETE", f"/v1/clients/{uuid}").status_code == 204
    assert problem(engine.public("GET", path)) == (404, "unknown-client")


def test_policies_over_rest_outlive_the_engine(engine: Any, tools: Any) -> None:
    engine.start()
    uuid = engine.register()
    path = f"/v1/clients/{uuid}/subscriptions"
    answer = engine.public("POST", path, json={"topics": ["tick", "tick:A"], "policy": "skip", "max_rate": 0.5})
    skip = {"policy": "skip", "max_rate": 0.5}
    assert answer.json() == {"topics": ["tick", "tick:A"], "policies": {"tick": skip, "tick:A": skip}}
    answer = engine.public("PUT", path, json={"topics": ["tick:A", "tick"], "policy": "conflate"})
    kept = {"topics": ["tick", "tick:A"], "policies": {"tick": {"policy": "conflate"}, "tick:A": {"policy": "conflate"}}}
    assert answer.json() == kept
    assert engine.public("POST", path, json={"topics": ["tick"]}).json()["policies"] == {"tick:A": {"policy": "conflate"}}
    for wrong, field in (
        ({"policy": "none"}, "$.policy"), ({"trades": "conflate"}, "$.trades"), ({"max_rate": 0.001}, "$.max_rate"),
        ({"max_rate": 1e9}, "$.max_rate"), ({"policies": {}}, "$.policies"),
    ):  # fmt: skip
        answer = engine.public("POST", path, json={"topics": ["tick"], **wrong})
        assert (problem(answer), answer.json()["field"]) == ((400, "invalid-field"), field)
    answer = engine.http.request("DELETE", engine.ready["public"] + path, json={"topics": ["tick"], "policy": "skip"})
    assert (problem(answer), answer.json()["field"]) == ((400, "invalid-field"), "$.policy")
    assert engine.stop() == 0
    engine.start()
    assert engine.public("GET", path).json() == {"topics": ["tick", "tick:A"], "policies": {"tick:A": {"policy": "conflate"}}}
    assert engine.client(uuid)["policies"] == {"tick:A": {"policy": "conflate"}}
    with engine.connect(uuid) as client:
        assert tools.hear(client)["policies"] == {"tick:A": {"policy": "conflate"}}
        tools.hear(client, "tick")
        statistics = engine.client(uuid)["statistics"]
        assert (statistics["skipped"], statistics["conflated"]) == (0, 0)


def test_classes_of_clients_follow_the_configuration(engine: Any, tools: Any) -> None:
    engine.config["client_classes"] = {"gold": {"priority": 9}}
    engine.start()
    answer = engine.public("POST", "/v1/clients", json={"class": "gold"})
    assert answer.status_code == 201
    assert engine.client(answer.json()["uuid"])["class"] == "gold"
    assert engine.client(engine.register())["class"] == "standard"
    answer = engine.public("POST", "/v1/clients", json={"class": "silver"})
    assert (problem(answer), answer.json()["field"]) == ((400, "invalid-field"), "$.class")
    assert "standard, gold" in answer.json()["detail"]
    engine.config["client_classes"]["silver"] = {}
    engine.config["limits"] = {"memory_soft_bytes": 1 << 20, "memory_hard_bytes": 2 << 20}
    engine.configure()
    change = engine.admin("POST", "/v1/config/reload").json()
    assert change["needs_engine_restart"] == []
    assert engine.public("POST", "/v1/clients", json={"class": "silver"}).status_code == 201
    reloaded = tools.until(lambda: engine.log("configuration reloaded"))[0]
    assert reloaded["hot"] == ["limits.memory_soft_bytes", "limits.memory_hard_bytes", "client_classes"]
    assert engine.asset_state("tick")["priority"] == 5


def test_an_unknown_client_is_refused(shared_engine: Any) -> None:
    uuid = "3f0c5b1e-8d55-4a50-9f7a-3b1f0d2c9a11"
    with pytest.raises(InvalidStatus) as refused:
        shared_engine.connect(uuid)
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["type"] == "urn:finstream:problem:unknown-client"
    for method in ("GET", "DELETE"):
        assert problem(shared_engine.public(method, f"/v1/clients/{uuid}")) == (404, "unknown-client")


def test_a_foreign_page_can_do_nothing(shared_engine: Any) -> None:
    foreign = {"Origin": "https://evil.com"}
    assert problem(shared_engine.public("POST", "/v1/clients", headers=foreign)) == (403, "foreign-origin")
    for path in ("/v1/assets/tick/pause", "/v1/reboot", "/v1/config/reload"):
        assert problem(shared_engine.admin("POST", path, headers=foreign)) == (403, "foreign-origin")
    rebound = {"Host": "evil.com"}
    assert problem(shared_engine.public("GET", "/v1/assets", headers=rebound)) == (403, "foreign-host")
    assert problem(shared_engine.admin("POST", "/v1/reboot", headers=rebound)) == (403, "foreign-host")
    with pytest.raises(InvalidStatus) as refused:
        shared_engine.connect(shared_engine.register(), origin="https://evil.com")
    assert refused.value.response.status_code == 403


def test_pause_start_restart(engine: Any, tools: Any) -> None:
    engine.start()
    with engine.connect(engine.register()) as client:
        client.send('{"op":"subscribe","topics":["tick"]}')
        tools.hear(client, "tick")
        first = engine.asset_state("tick")["pid"]

        answer = engine.admin("POST", "/v1/assets/tick/pause")
        assert (answer.status_code, answer.json()["asset"]) == (202, "tick")
        while tools.hear(client, "asset")["state"] != "paused":
            pass
        assert engine.asset_state("tick")["state"] == "paused"
        assert problem(engine.admin("POST", "/v1/assets/tick/pause")) == (409, "wrong-state")
        assert problem(engine.admin("POST", "/v1/assets/tick/restart")) == (409, "wrong-state")

        assert engine.admin("POST", "/v1/assets/tick/start").status_code == 202
        while (message := tools.hear(client, "asset"))["state"] != "running":
            pass
        assert message["simulated"] is True
        tools.hear(client, "tick")
        second = engine.asset_state("tick")["pid"]
        assert engine.admin("POST", "/v1/assets/tick/restart").status_code == 202
        third = tools.until(lambda: (now := engine.asset_state("tick"))["state"] == "running" and now["pid"])
        tools.until(lambda: engine.asset_state("tick")["pid"] not in {first, second})
        assert len({first, second, third}) >= 2
        assert problem(engine.admin("POST", "/v1/assets/nowhere/pause")) == (404, "unknown-asset")
        assert problem(engine.public("POST", "/v1/assets/tick/pause")) == (404, "not-found")  # only on the admin side


def test_the_state_is_told_on_subscribing_and_on_coming_back(engine: Any, tools: Any) -> None:
    engine.start()
    uuid = engine.register()
    assert engine.admin("POST", "/v1/assets/tick/pause").status_code == 202
    paused = {"type": "asset", "asset": "tick", "state": "paused", "reason": "Paused", "simulated": True}
    with engine.connect(uuid) as client:
        tools.hear(client)
        client.send('{"op":"subscribe","topics":["tick"]}')
        assert [tools.hear(client)["type"], tools.hear(client)] == ["subscribed", paused]
    with engine.connect(uuid) as client:
        assert [tools.hear(client)["type"], tools.hear(client)] == ["welcome", paused]
        assert engine.admin("POST", "/v1/assets/tick/start").status_code == 202
        assert [tools.hear(client)["state"] for _ in range(2)] == ["starting", "running"]
        assert tools.hear(client)["type"] == "tick"
    (place,) = engine.public("GET", "/v1/arena").json()["arena"]
    assert (place["asset"], place["severity"], place["degraded"]) == ("tick", 0, False)
    engine.admin("POST", "/v1/assets/tick/pause")
    place = tools.until(lambda: (now := engine.public("GET", "/v1/arena").json()["arena"][0])["state"] == "paused" and now)
    assert (place.get("severity"), place["degraded"]) == (None, False)


def names(engine: Any) -> list[str]:
    return [asset["name"] for asset in engine.public("GET", "/v1/assets").json()["assets"]]


def test_hot_reload(engine: Any, tools: Any) -> None:
    engine.config["assets"]["tick"]["start"] = "always"
    engine.config["assets"]["gone"] = engine.asset("ticker", start="always")
    engine.start()
    uuid = engine.register()
    tools.until(lambda: engine.asset_state("gone")["state"] == "running")
    before = tools.until(lambda: engine.asset_state("tick")["pid"])
    with engine.connect(uuid) as client:
        client.send('{"op":"subscribe","topics":["gone"]}')
        tools.hear(client, "tick")

        # The file alone:
        del engine.config["assets"]["gone"]
        engine.config["assets"]["new"] = engine.asset("ticker", start="always")
        engine.configure()
        tools.until(lambda: names(engine) == ["tick", "new"])
        tools.until(lambda: engine.asset_state("new")["state"] == "running")
        client.send('{"op":"subscribe","topics":["new"],"id":2}')
        tools.until(lambda: tools.hear(client, "tick")["asset"] == "new")

        # By command, with what it changes, and what it cannot change now:
        engine.config["assets"]["gone"] = engine.asset("ticker", start="always")
        engine.config["assets"]["new"]["env"] = {"PERIOD": "0.01"}
        engine.config["limits"] = {"outbox_age_ms": 4000}
        engine.config["logs"] = {"level": "debug"}
        engine.configure()
        plan = engine.admin("POST", "/v1/config/reload")
        assert plan.status_code == 200
        # The watch may have been faster; then there is nothing left to change.
        if plan.json()["started"]:
            assert plan.json() == {
                "started": ["gone"], "stopped": [], "restarted": ["new"], "unchanged": ["tick"], "hot": ["logs.level"],
                "needs_engine_restart": ["limits.outbox_age_ms"],
            }  # fmt: skip
        tools.until(lambda: tools.hear(client, "tick")["asset"] == "gone")  # its subscription has come back to life
    assert engine.asset_state("tick")["pid"] == before
    assert engine.admin("PUT", "/v1/logs/level", json={"level": "info"}).json() == {
        "level": "info",
        "previous": "debug",
    }


def test_a_wrong_configuration_changes_nothing(engine: Any, tools: Any) -> None:
    engine.config["assets"]["tick"]["start"] = "always"
    engine.start()
    before = tools.until(lambda: engine.asset_state("tick")["pid"])
    engine.config["assets"] = {"other": {**engine.asset("ticker"), "origin": "sythetic"}}
    engine.configure()
    answer = engine.admin("POST", "/v1/config/reload")
    assert problem(answer) == (422, "config-rejected")
    assert answer.json()["field"] == "assets.other.origin"
    tools.until(lambda: engine.log("configuration rejected"))
    assert names(engine) == ["tick"]
    assert engine.asset_state("tick")["pid"] == before


def test_the_log_level(engine: Any) -> None:
    engine.start()
    engine.register()
    assert engine.log("client registered") == []
    assert engine.admin("PUT", "/v1/logs/level", json={"level": "debug"}).json() == {
        "level": "debug",
        "previous": "info",
    }
    engine.register()
    answer = engine.admin("PUT", "/v1/logs/level", json={"level": "loud"})
    assert (problem(answer), answer.json()["field"]) == ((400, "invalid-field"), "$.level")
    assert engine.stop() == 0
    assert len(engine.log("client registered")) == 1


def stop_reading(engine: Any, uuid: str) -> socket.socket:
    """A client that shakes hands and never reads on."""
    host, port = engine.ready["stream"].removeprefix("ws://").split(":")
    client = socket.create_connection((host, int(port)))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /v1/stream?client={uuid} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return client


def test_a_client_that_stops_reading_dies_alone(engine: Any, tools: Any) -> None:
    engine.config["assets"]["flood"] = engine.asset("flood", stdout_full_s=None)
    engine.config["limits"] = {"outbox_bytes": 262144, "outbox_age_ms": 2000}
    engine.start()
    slow, quick = engine.register(), engine.register()
    engine.public("PUT", f"/v1/clients/{slow}/subscriptions", json={"topics": ["flood"]})
    with engine.connect(quick) as client, stop_reading(engine, slow) as stuck:
        client.send('{"op":"subscribe","topics":["tick"]}')
        tools.until(lambda: engine.client(slow).get("last_receipt"))
        receipt = engine.client(slow)["last_receipt"]
        assert receipt["reason"] in {"slow_consumer_bytes", "slow_consumer_age"}
        assert receipt["queued_bytes"] > 0
        assert receipt["queued_messages"] > 0
        assert receipt["delivered"] > 0
        assert (receipt["last_asset"], receipt["last_seq"] >= receipt["delivered"]) == ("flood", True)
        for _ in range(20):
            tools.hear(client, "tick")
        assert engine.client(quick)["state"] == "connected"
        (told,) = engine.log("client disconnected", 1)
        assert (told["level"], told["client"], told["reason"]) == ("warning", slow, receipt["reason"])
        stuck.settimeout(10)
        with_an_end = bytearray()
        try:
            while part := stuck.recv(1 << 20):
                with_an_end += part
        except ConnectionResetError:
            pass
        assert with_an_end.count(b'"type":"tick"') <= receipt["delivered"] + 1


def test_an_ingestor_of_garbage_disturbs_nobody(engine: Any, tools: Any) -> None:
    engine.config["assets"]["garbage"] = engine.asset("garbage")
    engine.start()
    with engine.connect(engine.register()) as client:
        client.send('{"op":"subscribe","topics":["tick","garbage"]}')
        for _ in range(30):
            assert tools.hear(client, "tick")["asset"] == "tick"
        rejected = tools.until(lambda: engine.asset_state("garbage")["statistics"]["rejected"])
        assert set(rejected) == {"not_json", "decimal_out_of_range"}
        letters = tools.until(lambda: (engine.directory / "dead.jsonl").read_text().splitlines())
        assert json.loads(letters[0])["reason"] == "not_json"
        assert tools.until(lambda: engine.log("lines rejected"))[0]["asset"] == "garbage"


def test_an_ingestor_that_crashes_comes_back_and_its_subscribers_are_told(engine: Any, tools: Any) -> None:
    engine.config["assets"]["tick"]["restart"] = {"initial_s": 0.05, "max_s": 0.1}
    engine.start()
    with engine.connect(engine.register()) as client:
        client.send('{"op":"subscribe","topics":["tick"]}')
        seq = tools.hear(client, "tick")["seq"]
        os.killpg(engine.asset_state("tick")["pid"], signal.SIGKILL)
        while tools.hear(client, "asset")["state"] != "backoff":
            pass
        while tools.hear(client, "asset")["state"] != "running":
            pass
        assert tools.hear(client, "tick")["seq"] > seq


def test_a_message_that_is_too_big_ends_the_connection(shared_engine: Any, tools: Any) -> None:
    uuid = shared_engine.register()
    with shared_engine.connect(uuid) as client:
        client.send("x" * 65537)
        assert tools.hear(client, "goodbye")["code"] == "message_too_big"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
        assert closed.value.rcvd.code == 1009


def test_many_at_once(shared_engine: Any) -> None:
    """Requests do not wait for one another's clients."""
    host, port = shared_engine.ready["public"].removeprefix("http://").split(":")
    began = time.monotonic()
    with socket.create_connection((host, int(port))) as half, socket.create_connection((host, int(port))):
        half.sendall(b"POST /v1/clients HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        for _ in range(10):
            shared_engine.register()
    assert time.monotonic() - began < 5
