"""Recorded sessions of Binance and Coinbase over a real socket, from servers that speak their protocols: digit for digit what the
venue sent to who subscribed as we do. (``test_recordings`` compares everything recorded, through the replay.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_binance import LocalBinance
from local_coinbase import LocalAdvanced, LocalExchange

pytestmark = pytest.mark.recordings

TAKER = {"buy": "sell", "sell": "buy", "BUY": "sell", "SELL": "buy"}


def lines_of(path: Path, most: int | None = None) -> list[str]:
    return path.read_text().splitlines()[:most]


def test_binance(recordings: Path, local: Callable[..., LocalBinance], start: Callable[..., Any]) -> None:
    recorded = lines_of(recordings / "binance" / "spot_btcusdt_20240808.jsonl", 3000)
    expected: list[dict[str, Any]] = []
    quote: dict[str, str] = {}
    for line in recorded:
        data = json.loads(line)["data"]
        if "B" in data:
            quote = {"bid_price": data["b"], "bid_volume": data["B"], "ask_price": data["a"], "ask_volume": data["A"]}
            expected.append(quote)
        elif data["e"] == "trade":
            trade = {"price": data["p"], "volume": data["q"], "trade_id": data["t"], "ts": data["T"]}
            expected.append({**quote, **trade, "side": "sell" if data["m"] else "buy"})
    assert sum("price" in tick for tick in expected) > 200
    server = local(LocalBinance, lambda session: server.play(session, recorded), listed=["btcusdt"])
    program = start("binance", "--symbols", "BTC/USDT", "--url", server.url)
    ticks = program.ticks(len(expected))
    for tick in ticks:
        assert (tick.pop("symbol"), tick.pop("exchange"), tick.pop("raw_symbol")) == ("BTC/USDT", "binance", "BTCUSDT")
        if "price" not in tick:
            assert tick.pop("quote_time") == "local"
            tick.pop("ts")
    assert ticks == expected
    assert not [line for line in program.lines if line.get("state") in {"gap", "error", "unmapped"}]


def test_coinbase_exchange(recordings: Path, local: Callable[..., LocalExchange], start: Callable[..., Any]) -> None:
    recorded = lines_of(recordings / "coinbase" / "exchange_matches_heartbeat_level2batch_btc_20260707.jsonl")
    matches = [message for message in map(json.loads, recorded) if message["type"] == "match"]
    assert len(matches) == 344
    server = local(LocalExchange, lambda session: server.play(session, recorded), listed=["BTC-USD"])
    program = start("coinbase", "--symbols", "BTC/USD", "--url", server.url)
    assert program.ticks(len(matches)) == [
        {
            "symbol": "BTC/USD", "exchange": "coinbase", "raw_symbol": "BTC-USD", "price": match["price"],
            "volume": match["size"], "side": TAKER[match["side"]], "trade_id": match["trade_id"], "ts": match["time"],
        }
        for match in matches
    ]
    assert {"type": "heartbeat"} in program.lines
    assert not [line for line in program.lines if line.get("state") in {"gap", "error", "unmapped"}]


def test_coinbase_exchange_refuses_an_unknown_product(
    local: Callable[..., LocalExchange], start: Callable[..., Any]
) -> None:
    server = local(LocalExchange, listed=["BTC-USD"])
    program = start("coinbase", "--symbols", "NO/SUCH", "--url", server.url)
    assert program.next_status("error") == "Coinbase: Failed to subscribe: NO-SUCH is not a valid product"


@pytest.mark.parametrize("lost", [None, 200])
def test_coinbase_advanced(
    lost: int | None, recordings: Path, local: Callable[..., LocalAdvanced], start: Callable[..., Any]
) -> None:
    """Messages are numbered over all channels: one that never arrives is counted and told, whatever it held."""
    recorded = lines_of(recordings / "coinbase" / "advanced_btc_eth_20260809.jsonl")
    expected = []
    for message in map(json.loads, recorded):
        for event in message["events"] if message["channel"] == "market_trades" else ():
            for trade in event["trades"][::-1] if event["type"] == "update" else ():
                told = {"price": trade["price"], "volume": trade["size"], "trade_id": trade["trade_id"], "ts": trade["time"]}
                expected.append({**told, "raw_symbol": trade["product_id"], "side": TAKER[trade["side"]]})
    assert len(expected) == 57
    server = local(LocalAdvanced, lambda session: server.play(session, recorded), listed=["BTC-USD", "ETH-USD"])
    server.lose = frozenset() if lost is None else frozenset({lost})
    program = start("coinbase", "--feed", "advanced", "--symbols", "BTC/USD,ETH/USD", "--url", server.url)
    if lost is not None:
        assert program.next_status("gap") == "1 lost before message 201; 1 lost in 1 gaps so far"
        return
    trades: list[Any] = []
    while len(trades) < len(expected):
        tick = program.next_tick()
        if "price" in tick:
            trades.append({name: tick[name] for name in expected[0]})
    assert trades == expected
    assert not [line for line in program.lines if line.get("state") in {"gap", "error", "unmapped"}]
