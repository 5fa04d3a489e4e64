"""The topic of the best source, from several ingestors to one client, while they fail."""

from __future__ import annotations

import json
import os
import signal
from typing import Any


def test_the_best_source_of_a_symbol_while_its_leader_fails(engine: Any, tools: Any) -> None:
    rarely = {"initial_s": 60}  # who is back before the other's next tick has not failed: a restart may come at once
    engine.config["assets"]["tick"]["restart"] = rarely
    engine.config["assets"] |= {
        "second": engine.asset("ticker", env={"SYMBOL": "BTC/USDT"}, restart=rarely),
        "news": engine.asset("ticker", kind="data"),
    }
    engine.start()
    uuid = engine.register()
    with engine.connect(uuid) as client:
        tools.hear(client)
        client.send(json.dumps({"op": "subscribe", "topics": ["best:BTC/USDT"], "id": 1}))
        subscribed, first = tools.hear(client), tools.hear(client)
        assert (subscribed["type"], subscribed["topics"]) == ("subscribed", ["best:BTC/USDT"])
        assert (first["type"], first["asset"], first["seq"], first["reason"]) == ("switch", "best", 1, "first")
        assert "from" not in first
        leader = first["to"]
        assert leader in ("tick", "second")
        tick = tools.hear(client)
        assert (tick["type"], tick["asset"], tick["seq"], tick["via"]) == ("tick", "best", 2, leader)
        tools.until(lambda: [engine.asset_state(name)["wanted_by"] for name in ("tick", "second", "news")] == [1, 1, 0])
        tools.until(lambda: engine.asset_state("second")["state"] == engine.asset_state("tick")["state"] == "running")
        assert engine.asset_state("news")["state"] == "idle"

        def leaders() -> list[str]:
            places = engine.public("GET", "/v1/arena", params={"symbol": "BTC/USDT"}).json()["arena"]
            return [place["asset"] for place in places if place.get("leads")]

        # Meanwhile the other one may have taken over, if the machine has held up the first.
        [leader] = tools.until(leaders)
        os.killpg(engine.asset_state(leader)["pid"], signal.SIGKILL)
        while (switch := tools.hear(client, "switch"))["from"] != leader:
            pass
        assert (switch["to"], switch["reason"]) == (({"tick", "second"} - {leader}).pop(), "mute")
        assert tools.hear(client, "tick")["via"] == switch["to"]
    tools.until(lambda: {engine.asset_state(name)["wanted_by"] for name in ("tick", "second")} == {0})
    tools.until(lambda: engine.asset_state(switch["to"])["state"] == "idle")
    assert engine.public("GET", "/v1/assets/best").status_code == 404, "it is no asset of the configuration"
