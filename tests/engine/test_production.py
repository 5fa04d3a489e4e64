"""Nothing made up is ever taken for real: in simulation everything says so, and production gets none of it."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

LIAR = """#!/bin/sh
# Lines that claim to be real, or to be simulated, between honest ones.
n=0
while :; do
  n=$((n+1)); now="$(date +%s%N)"
  printf '{"symbol":"REAL","price":"%s","ts":%s}\\n' $n "$now"
  printf '{"symbol":"CLAIM","price":"1","ts":%s,"simulated":false}\\n' "$now"
  printf '{"symbol":"CLAIM","price":"1","ts":%s,"simulated":true}\\n' "$now"
  printf '{"symbol":"CLAIM","price":"1","ts":%s,"simul\\\\u0061ted":false}\\n' "$now"
  printf '{"type":"news","text":"%s","ts":%s}\\n' $n "$now"
  sleep 0.02
done
"""


def script(engine: Any, name: str, text: str) -> str:
    path: Path = engine.directory / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def sink(engine: Any, *topics: str, **settings: Any) -> tuple[Path, dict[str, Any]]:
    """A sink that writes down all that it gets, and the file."""
    file = engine.directory / "sink.jsonl"
    return file, {"command": ["sh", "-c", f"exec cat > {file}"], "topics": list(topics), **settings}


def lines(file: Path) -> list[dict[str, Any]]:
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def test_in_simulation_every_kind_of_message_says_so_whatever_its_source_claims(engine: Any, tools: Any) -> None:
    file, writes = sink(engine, "liar", "best")
    engine.config["assets"] = {"liar": engine.asset("ticker", origin="live", command=[script(engine, "liar", LIAR)])}
    engine.config["sinks"] = {"file": writes}
    engine.start()
    kinds: set[str] = set()
    with engine.connect(engine.register()) as client:

        def hear(kind: str) -> dict[str, Any]:
            while True:
                message = tools.hear(client)
                assert message["simulated"] is True, message
                assert message.get("symbol") != "CLAIM"
                kinds.add(message["type"])
                if message["type"] == kind:
                    return message

        hear("welcome")
        client.send('{"op":"subscribe","topics":["liar","best"],"id":1}')
        hear("subscribed")
        hear("asset")
        for kind in ("tick", "news") * 10:
            hear(kind)
        client.send('{"op":"ping","id":2}')
        hear("pong")
        client.send('{"op":"dance","id":3}')
        hear("error")
        client.send('{"op":"unsubscribe","topics":["liar"],"id":4}')
        hear("unsubscribed")
        engine.process.terminate()
        hear("goodbye")
    # Whether the best source is chosen before or after the client has subscribed to it is open.
    assert kinds - {"switch"} == {"welcome", "subscribed", "asset", "tick", "news", "pong", "error", "unsubscribed", "goodbye"}
    assert engine.process.wait(15) == 0
    got = lines(file)
    assert {"tick", "news", "switch"} <= {message["type"] for message in got}
    assert {message["via"] for message in got if message["asset"] == "best" and message["type"] == "tick"} == {"liar"}
    assert all(message["simulated"] is True for message in got)
    assert all(message.get("symbol") != "CLAIM" for message in got)
    dead = [json.loads(line) for line in (engine.directory / "dead.jsonl").read_text().splitlines()]
    assert {line["reason"] for line in dead} == {"reserved_member"}


def test_nothing_simulated_reaches_a_production_sink(engine: Any, tools: Any) -> None:
    """Neither what says so, nor what hides: programs of ours that are started by others refuse to run in production."""
    hidden = script(engine, "hidden.sh", "#!/bin/sh\nname=sim\nexec python -m finstream_ingestors.$name --rate 100\n")
    recording = engine.directory / "recording.jsonl"
    recording.write_text("{}\n")
    replay = script(
        engine, "replay.sh",
        f"#!/bin/sh\nname=binance\nexec python -m finstream_ingestors.$name --symbols BTC/USDT --replay {recording}\n",
    )  # fmt: skip
    path = engine.environment["PATH"]
    engine.environment["PATH"] = f"{Path(sys.executable).parent}:{path}"
    assets = {
        "real": {"command": [script(engine, "liar", LIAR)]},
        "hidden": {"command": [hidden]},
        "replayed": {"command": [replay]},
    }
    file, writes = sink(engine, *assets, "best", production=True)
    engine.config |= {"mode": "production", "assets": assets, "sinks": {"file": writes}}
    engine.start()
    for name in ("hidden", "replayed"):
        tools.until(lambda name=name: engine.asset_state(name)["state"] == "misconfigured")
        assert engine.asset_state(name)["last_exit_code"] == 78
        assert engine.asset_state(name)["statistics"]["ticks"] == 0
    tools.until(lambda: sum(message["type"] == "tick" and message["asset"] == "best" for message in lines(file)) >= 20)
    for changed in (
        {"assets": assets | {"real": assets["real"] | {"origin": "synthetic"}}},
        {"assets": assets | {"sim": {"command": ["python", "-m", "finstream_ingestors.sim"]}}},
        {"market": {"simulate": "open"}},
        {"mode": "simulation"},
    ):
        rejected = len(engine.log("configuration rejected"))
        was = dict(engine.config)
        engine.config |= changed
        engine.configure()
        answer = engine.admin("POST", "/v1/config/reload")
        assert answer.status_code == 422, answer.text
        assert engine.admin("POST", "/v1/reboot").status_code == 422, "nor after a restart"
        assert len(engine.log("configuration rejected", rejected + 1)) > rejected
        engine.config = was
    engine.configure()
    refused = engine.admin("PUT", "/v1/market/simulation", json={"status": "open"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:finstream:problem:wrong-state")
    assert engine.public("GET", "/v1/market").json()["simulated"] is False
    assert engine.stop() == 0
    got = lines(file)
    assert {message["asset"] for message in got if message["type"] in {"tick", "news"}} == {"real", "best"}
    assert {message.get("via") or message["to"] for message in got if message["asset"] == "best"} == {"real"}
    assert not any("simulated" in message for message in got)
    assert all(message.get("symbol") != "CLAIM" for message in got)


def test_a_production_sink_is_refused_by_an_engine_that_simulates(engine: Any) -> None:
    file, writes = sink(engine, "tick", production=True)
    engine.config["sinks"] = {"file": writes}
    engine.launch()
    assert engine.process.wait(15) == 78
    (said,) = [json.loads(line) for line in engine.log_text().splitlines()]
    assert said["event"].startswith("sinks.file.production: a production sink gets nothing simulated")
    assert not file.exists()


@pytest.mark.parametrize("command", [["feed", "--url", "ws://venue.com"], ["feed", "--url", "wss://testnet.venue.com"]])
def test_a_test_endpoint_ends_the_start_with_what_to_change(engine: Any, command: list[str]) -> None:
    engine.config |= {"mode": "production", "assets": {"a": {"command": command}}}
    engine.launch()
    assert engine.process.wait(15) == 78
    (said,) = [json.loads(line) for line in engine.log_text().splitlines()]
    assert said["event"].startswith("assets.a.command[2]: ")
    assert "mode: simulation" in said["event"]
