"""Feeds that do badly, as subscribers and the arena see them."""

from __future__ import annotations

import json
from typing import Any

AHEAD = """#!/bin/sh
# Its clock is half a second ahead.
while :; do
  now=$(date +%s%N)
  printf '{"symbol":"A","price":"1","ts":%s}\\n' $((now + 500000000))
  sleep 0.05
done
"""


def place(engine: Any, asset: str, symbol: str | None = None) -> dict[str, Any]:
    answer = engine.public("GET", "/v1/arena", params={} if symbol is None else {"symbol": symbol})
    (found,) = [each for each in answer.json()["arena"] if each["asset"] == asset]
    return found  # type: ignore[no-any-return]


def test_subscribers_learn_that_a_feed_is_not_well(engine: Any, tools: Any) -> None:
    script = engine.directory / "ahead.sh"
    script.write_text(AHEAD)
    script.chmod(0o755)
    engine.scripts["ahead"] = str(script)
    engine.config["assets"] |= {"ahead": engine.asset("ahead", quality={"future_ms": 5000})}
    engine.start()
    uuid = engine.register()
    with engine.connect(uuid) as client:
        client.send(json.dumps({"op": "subscribe", "topics": ["ahead", "tick"]}))
        health = tools.hear(client, "health")
        assert health.pop("age_ms") >= 0
        told = {"type": "health", "asset": "ahead", "state": "degraded", "cause": "clock_error", "simulated": True}
        assert health == told
    with engine.connect(uuid) as client:
        assert tools.hear(client, "health").items() >= told.items(), "whoever comes later is told, too"
        assert place(engine, "ahead")["clock_error"] is True
        assert 400_000 < place(engine, "ahead")["clock_ahead_us"] <= 500_000
        assert place(engine, "tick")["clock_error"] is False
        (line,) = engine.log("feed health changed", 1)
        assert (line["level"], line["asset"], line["health"], line["cause"]) == ("warning", "ahead", "degraded", "clock_error")


def test_silence_is_no_fault_before_and_after_the_markets_session(engine: Any, tools: Any) -> None:
    engine.config["market"] = {"simulate": "open"}
    engine.config["assets"] = {
        name: engine.asset("ticker", start="always", env={"PERIOD": "600"}, market=market)
        for name, market in (("stock", "nasdaq"), ("coin", "always"))
    }
    engine.start()
    for name in ("stock", "coin"):
        tools.until(lambda name=name: place(engine, name)["degraded"] and place(engine, name, "BTC/USDT")["degraded"])
    for status in ("pre-market", "after-hours"):
        assert engine.admin("PUT", "/v1/market/simulation", json={"status": status}).status_code == 200
        assert engine.asset_state("stock")["state"] == "running"
        for symbol in (None, "BTC/USDT"):
            assert (place(engine, "stock", symbol)["degraded"], place(engine, "stock", symbol)["severity"]) == (False, 0)
            assert place(engine, "coin", symbol)["degraded"] is True
    engine.admin("PUT", "/v1/market/simulation", json={"status": "open"})
    assert place(engine, "stock")["degraded"] is True
