"""What could pass for real and is not: refused, with the key and what to write instead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finstream.services.config import find_default, load, read
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import Settings

SIM = ["python", "-m", "finstream_ingestors.sim"]
BINANCE = ["python", "-m", "finstream_ingestors.binance", "--symbols", "BTC/USDT"]


def configured(mode: str = "production", market: Any = None, sinks: Any = None, **asset: Any) -> Settings:
    document = {"mode": mode, "market": market, "assets": {"a": {"command": ["feed"]} | asset}, "sinks": sinks}
    return read(json.dumps(document), "test.yaml")


def refused(**arguments: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        configured(**arguments)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("command", "origin"),
    [
        (SIM, "synthetic"), ([*SIM, "--rate", "5"], "synthetic"),
        (["sh", "-c", "exec python -m finstream_ingestors.sim"], "synthetic"),
        (["sh", "ingestors/examples/shell.sh"], "synthetic"), (["node", "/x/finstream_ingestors/examples/node.mjs"], "synthetic"),
        ([*BINANCE, "--replay", "x.jsonl"], "replay"), ([*BINANCE, "--replay=x.jsonl"], "replay"),
        (["finstream", "deadletter", "replay", "--asset", "b"], "replay"),
        (["sh", "-c", "python -m finstream.cli deadletter replay"], "replay"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["production", "simulation"])
def test_what_is_made_up_cannot_be_called_live(mode: str, command: list[str], origin: str) -> None:
    error = refused(mode=mode, command=command)
    assert error.where == "assets.a.origin"
    assert error.problem.startswith("live, but its command ")
    assert f"write origin: {origin} and mode: simulation" in error.remedy
    assert configured(mode="simulation", command=command, origin=origin)


def test_the_options_of_other_programs_are_their_own() -> None:
    assert configured(command=["feed", "--replay", "off"])
    assert configured(command=["finsim", "finstream_ingestors.simple"])
    assert configured(command=["feed", "deadletter", "replay"])


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ws://stream.binance.com:9443/ws", "ws://stream.binance.com is not encrypted"),
        ("WS://stream.binance.com", "ws://stream.binance.com is not encrypted"),
        ("http://api.binance.com/api", "http://api.binance.com is not encrypted"),
        ("wss://testnet.binance.vision/ws", "testnet.binance.vision is a test endpoint"),
        ("wss://stream.testnet.binance.vision/ws", "is a test endpoint"),
        ("wss://stream-testnet.bybit.com/v5/public/spot", "is a test endpoint"),
        ("wss://ws-feed-public.sandbox.exchange.coinbase.com", "is a test endpoint"),
        ("wss://demo-futures.kraken.com/ws/v1", "is a test endpoint"),
        ("wss://wspap.okx.com:8443/ws/v5/public", "is a test endpoint"),
        ("wss://stream.binancefuture.com/ws", "is a test endpoint"),
        ("wss://127.0.0.1:9000", "127.0.0.1 is a test endpoint"),
        ("ws://localhost:9000/ws", "localhost is a test endpoint"),
        ("wss://[::1]:9000", "::1 is a test endpoint"),
        ("wss://0.0.0.0:9000", "is a test endpoint"),
        ("wss://venue.example", "is a test endpoint"),
        ("wss://venue.test:1/x", "is a test endpoint"),
        ("wss://[::1", "is not an address"),
    ],
)
def test_production_refuses_test_endpoints_and_venues_without_encryption(url: str, problem: str) -> None:
    for arguments, where in (
        ({"command": [*BINANCE, "--url", url]}, "command[6]"),
        ({"command": [*BINANCE, f"--url={url}"]}, "command[5]"),
        ({"command": ["sh", "-c", f'exec feed --url "{url}"']}, "command[2]"),
        ({"env": {"VENUE_URL": url}}, "env.VENUE_URL"),
    ):
        error = refused(**arguments)
        assert error.where == f"assets.a.{where}"
        assert problem in error.problem
        assert "mode: simulation" in error.remedy or "venue documents" in error.remedy
        assert configured(mode="simulation", **arguments)


@pytest.mark.parametrize(
    "command",
    [
        [*BINANCE, "--url", "wss://data-stream.binance.vision/stream"],
        [*BINANCE, "--url", "wss://ws.okx.com:8443/ws/v5/public"],
        ["feed", "--url", "wss://feed.latest.exchange.com", "--note", "https://contest.example.com"],
        ["feed", "--url", "wss://10.1.2.3:9000"],  # our own gateway to the venue
        ["feed", "--url", "wss://gateway.internal/binance"],
        ["feed", "--proxy", "http://proxy.internal:3128", "--url", "wss://stream.binance.com"],
        ["feed", "--https-proxy=http://127.0.0.1:3128"],
        ["feed", "--host", "10.1.2.3:9000"],
        ["http-feed", "ws"],
    ],
)
def test_production_takes_what_may_well_be_real(command: list[str]) -> None:
    assert configured(command=command).assets["a"].command == command


def test_a_proxy_in_the_environment_is_no_venue() -> None:
    assert configured(env={"HTTPS_PROXY": "http://proxy.internal:3128", "NO_PROXY": "http://127.0.0.1"})


@pytest.mark.parametrize(
    ("market", "where", "problem"),
    [
        ({"simulate": "open"}, "market.simulate", "a simulated market is not allowed"),
        ({"url": "http://api.nasdaq.com/api/market-info"}, "market.url", "is not encrypted"),
        ({"url": "https://127.0.0.1:1/api/market-info"}, "market.url", "is a test endpoint"),
    ],
)
def test_production_asks_the_real_market(market: Any, where: str, problem: str) -> None:
    error = refused(market=market)
    assert error.where == where
    assert problem in error.problem
    assert configured(mode="simulation", market=market)


def test_a_sink_of_production_and_a_simulation_do_not_go_together() -> None:
    sinks = {"s": {"command": ["cat"], "topics": ["a"], "production": True}}
    assert configured(sinks=sinks).sinks["s"].production
    error = refused(mode="simulation", sinks=sinks)
    assert error.where == "sinks.s.production"
    assert "a production sink gets nothing simulated" in error.problem
    assert "mode: production" in error.remedy


def test_without_a_configuration_real_venues_start_on_demand(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(find_default())
    assert settings.mode == "production"
    assert settings.assets
    for asset in settings.assets.values():
        assert (asset.origin, asset.start) == ("live", "on_demand")
        assert asset.command[:2] == ["python", "-m"]
        assert asset.command[2].startswith("finstream_ingestors.")
