"""The market's status, from a server that speaks its API to the processes that follow it; and restarts by New York's clock."""

from __future__ import annotations

import datetime
import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

NEW_YORK = ZoneInfo("America/New_York")


def follow(engine: Any, market_info: Any, **market: Any) -> None:
    """Two assets, one of which follows the market that ``market_info`` tells of."""
    engine.config["market"] = {"url": market_info.url, "poll_open_s": 1, "poll_closed_s": 1} | market
    engine.config["assets"] = {
        "stock": engine.asset("ticker", market="nasdaq", start="always"),
        "coin": engine.asset("ticker", start="always"),
    }


def state(engine: Any, asset: str) -> tuple[str, str]:
    told = engine.asset_state(asset)
    return told["state"], told["reason"]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_assets_follow_the_market_on_a_machine_in_another_zone(
    engine: Any, tools: Any, market_info: Any, zone: str
) -> None:
    engine.environment["TZ"] = zone
    market_info.status = "Open"
    follow(engine, market_info)
    engine.start()
    tools.until(lambda: state(engine, "stock") == ("running", "Started"))
    told = engine.public("GET", "/v1/market").json()
    assert (told["status"], told["source"], told["simulated"]) == ("open", "nasdaq", True)
    there = datetime.datetime.fromisoformat(told["new_york"])
    assert there.utcoffset() == datetime.datetime.now(NEW_YORK).utcoffset()
    assert abs(there.timestamp() - time.time()) < 5
    with engine.connect(engine.register()) as client:
        client.send('{"op":"subscribe","topics":["stock"]}')
        tools.hear(client, "tick")
        market_info.status = "Closed"
        messages = [tools.hear(client, "asset") for _ in range(2)]
        assert [(each["state"], each["reason"]) for each in messages] == [
            ("stopping", "MarketClosed"), ("paused", "MarketClosed"),
        ]  # fmt: skip
        assert messages[-1]["detail"].startswith("nasdaq is closed")
        assert messages[-1]["simulated"] is True
        assert state(engine, "coin") == ("running", "Started")
        market_info.status = "Pre-Market"
        assert tools.hear(client, "asset")["reason"] == "MarketOpened"
        tools.hear(client, "tick")

    def told_by_nasdaq() -> list[str]:
        return [line["status"] for line in engine.log("market status") if line["source"] == "nasdaq"]

    tools.until(lambda: len(told_by_nasdaq()) >= 3)
    assert told_by_nasdaq() == ["open", "closed", "pre-market"]


def test_what_was_said_last_is_kept_while_the_market_is_silent(engine: Any, tools: Any, market_info: Any) -> None:
    follow(engine, market_info)
    engine.start()
    tools.until(lambda: engine.public("GET", "/v1/market").json()["source"] == "nasdaq")
    market_info.trouble = [(503, {}, b"")] * 1000
    told = tools.until(lambda: (answer := engine.public("GET", "/v1/market").json())["error"] and answer)
    assert told["error"] == "HTTP 503"
    # Should this run while a change is due, the calendar takes over; what was said last is there all the same.
    assert told["last_known"] == "open"
    first = told["age_ms"]
    assert tools.until(lambda: engine.public("GET", "/v1/market").json()["age_ms"] > first + 1000)
    assert engine.log("the market does not answer", 1)[0]["level"] == "warning"


def test_a_simulation_over_the_admin_side(engine: Any, tools: Any, market_info: Any) -> None:
    follow(engine, market_info)
    engine.start()
    tools.until(lambda: state(engine, "stock")[0] == "running")
    told = engine.admin("PUT", "/v1/market/simulation", json={"status": "closed"}).json()
    assert (told["status"], told["source"], told["simulated"], told["polled"]) == ("closed", "simulation", True, False)
    assert engine.public("GET", "/v1/market").json()["source"] == "simulation"
    tools.until(lambda: state(engine, "stock") == ("paused", "MarketClosed"))
    assert "as simulated" in engine.asset_state("stock")["detail"]
    for wrong in ({"status": "halted"}, {}, {"status": "open", "for_s": 5}):
        answer = engine.admin("PUT", "/v1/market/simulation", json=wrong)
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:finstream:problem:invalid-field")
    assert engine.admin("PUT", "/v1/market/simulation", json={"status": None}).json()["simulated"] is True
    tools.until(lambda: state(engine, "stock")[0] == "running")
    tools.until(lambda: engine.public("GET", "/v1/market").json()["source"] == "nasdaq")


def test_a_reload_changes_what_follows_the_market_and_whom_it_asks(engine: Any, tools: Any, market_info: Any) -> None:
    market_info.status = "Closed"
    follow(engine, market_info)
    engine.start()
    tools.until(lambda: state(engine, "stock") == ("paused", "MarketClosed"))
    coin = engine.asset_state("coin")["pid"]
    engine.config["assets"]["stock"]["market"] = "always"
    engine.config["assets"]["coin"]["market"] = "nasdaq"
    engine.config["market"]["poll_open_s"] = 2
    engine.configure()
    tools.until(lambda: state(engine, "stock") == ("running", "Started"))
    tools.until(lambda: state(engine, "coin") == ("paused", "MarketClosed"))
    assert coin is not None
    (reloaded,) = engine.log("configuration reloaded", 1)
    assert set(reloaded["hot"]) == {"market.poll_open_s", "assets.stock.market", "assets.coin.market"}
    assert (reloaded["restarted"], reloaded["needs_engine_restart"]) == ([], [])
    engine.config["market"] = {"simulate": "open"}
    engine.configure()
    tools.until(lambda: state(engine, "coin") == ("running", "Started"))
    assert engine.public("GET", "/v1/market").json()["source"] == "simulation"


def test_a_market_that_hangs_holds_nobody_up(engine: Any, tools: Any, market_info: Any) -> None:
    market_info.trouble = [None] * 100
    follow(engine, market_info)
    engine.start()
    tools.until(lambda: market_info.asked)
    told = engine.public("GET", "/v1/market").json()
    assert told["source"] == "calendar"
    began = time.monotonic()
    assert engine.stop() == 0
    assert time.monotonic() - began < 10


SHIFTED = """
import os, sys, time
from pathlib import Path
from finstream.services import restart_times
restart_times._EARLY_US = 0
restart_times.RestartTimes.__init__.__kwdefaults__["wall_us"] = lambda: time.time_ns() // 1000 + int(os.environ["SHIFT_US"])
from finstream.engine import main
sys.exit(main(Path(sys.argv[1])))
"""


def test_the_engine_restarts_at_its_time_in_new_york(engine: Any, tools: Any) -> None:
    """By a clock that is wrong by as much as it takes for 03:30 to come in some seconds."""
    now = datetime.datetime.now(NEW_YORK)
    wanted = now.replace(hour=3, minute=29, second=55)
    engine.environment |= {"SHIFT_US": str(round((wanted - now).total_seconds() * 1e6)), "TZ": "Asia/Tokyo"}
    engine.program = SHIFTED
    engine.config["restart_at"] = "03:30"
    engine.config["assets"]["daily"] = engine.asset("ticker", start="always", restart_at="03:30")
    engine.start()
    before = engine.process.pid
    tools.until(lambda: state(engine, "daily")[0] == "running")
    with engine.connect(engine.register()) as client:
        epoch = tools.hear(client, "welcome")["epoch"]
        assert tools.hear(client, "goodbye", within_s=20)["code"] == "engine_restarting"
    engine.await_ready()
    assert engine.process.pid == before
    with engine.connect(engine.register()) as client:
        assert tools.hear(client, "welcome")["epoch"] != epoch
    assert [line["asset"] for line in engine.log("scheduled restart", 1)] == ["daily"]
    assert [line["origin"] for line in engine.log("stopping", 1)] == ["restart_at"]
    assert engine.stop() == 0
