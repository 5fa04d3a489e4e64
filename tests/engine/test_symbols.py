"""The symbols that an engine knows, over REST."""

from __future__ import annotations

from typing import Any

import pytest

SOURCE = """
for symbol in {symbols}; do printf '{{"symbol":"%s","price":"1","ts":%s}}\\n' "$symbol" "$(date +%s%N)"; done
echo '{{"type":"news","symbol":"NEWS","ts":1716230000}}'
exec sleep 3600
"""


@pytest.fixture
def sources(engine: Any, tools: Any) -> Any:
    """``one`` and ``two`` have told three symbols each, ``idle`` nothing."""
    engine.config["assets"] = {"idle": engine.asset("ticker")}
    for name, symbols in (("two", "BTC/USDT AAPL BRK-B/USD"), ("one", "BTC/USDT ETH-PERP ÄÖ/€")):
        command = ["sh", "-c", SOURCE.format(symbols=symbols)]
        engine.config["assets"][name] = {"command": command, "origin": "synthetic", "start": "always"}
    engine.start()
    tools.until(lambda: all(engine.asset_state(name)["statistics"]["ticks"] == 3 for name in ("one", "two")))
    return engine


def ask(engine: Any, path: str, **query: str) -> tuple[int, Any]:
    answer = engine.public("GET", path, params=query)
    return answer.status_code, answer.json()


def test_those_that_were_ticked_are_listed_with_who_did(sources: Any) -> None:
    uuid = sources.register()
    sources.public("PUT", f"/v1/clients/{uuid}/subscriptions", json={"topics": ["one:NEVER/TOLD"]})
    listed = [("AAPL", ["two"]), ("BRK-B/USD", ["two"]), ("BTC/USDT", ["one", "two"]), ("ETH-PERP", ["one"]), ("ÄÖ/€", ["one"])]
    assert ask(sources, "/symbols") == (200, {"symbols": [{"symbol": name, "assets": assets} for name, assets in listed]})


def test_pages_bring_each_of_them_once(sources: Any) -> None:
    found, query = [], {"limit": "2"}
    while True:
        _, page = ask(sources, "/symbols", **query)
        found.append([each["symbol"] for each in page["symbols"]])
        if "next" not in page:
            break
        query["after"] = page["next"]
    assert found == [["AAPL", "BRK-B/USD"], ["BTC/USDT", "ETH-PERP"], ["ÄÖ/€"]]
    assert ask(sources, "/symbols", limit="5")[1].keys() == {"symbols"}
    assert ask(sources, "/symbols", after="ÿ")[1] == {"symbols": []}


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "1e3", "x", "", "²", "9" * 5000])
def test_a_limit_that_is_none_is_refused(shared_engine: Any, limit: str) -> None:
    status, problem = ask(shared_engine, "/symbols", limit=limit)
    assert (status, problem["type"], problem["field"]) == (400, "urn:finstream:problem:invalid-field", "?limit")


def test_one_is_told_with_the_places_of_its_sources(sources: Any) -> None:
    for path, symbol, assets in (
        ("BTC-USDT", "BTC/USDT", {"one", "two"}),
        ("ETH-PERP", "ETH-PERP", {"one"}),
        ("BRK-B-USD", "BRK-B/USD", {"two"}),
        ("%C3%84%C3%96-%E2%82%AC", "ÄÖ/€", {"one"}),
    ):
        status, told = ask(sources, f"/symbols/{path}")
        assert (status, told["symbol"]) == (200, symbol)
        assert {place["asset"] for place in told["arena"]} == assets
        assert [place["rank"] for place in told["arena"]] == list(range(1, len(assets) + 1))
        assert all(place["ticks"] == 1 and "lag_us" in place for place in told["arena"])
        arena = ask(sources, "/v1/arena", symbol=symbol)[1]["arena"]
        assert [place["asset"] for place in arena] == [place["asset"] for place in told["arena"]]


def test_one_that_nobody_has_ticked_is_unknown(sources: Any) -> None:
    for path in ("DOGE-USDT", "NEWS", "-", "%00", "%FF", "x" * 300, "-" * 10_000, "BTC"):
        status, problem = ask(sources, f"/symbols/{path}")
        assert (status, problem["type"]) == (404, "urn:finstream:problem:unknown-symbol")
