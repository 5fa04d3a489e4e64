"""The main job on real input: recorded venue messages, through the venues' ingestors and a real engine, to a stock client.

The oracle reads the recordings with plain ``json`` and knows nothing of our code. Every recorded trade has to arrive once, in
order, digit for digit.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "fixtures"
pytestmark = [
    pytest.mark.recordings,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recorded venue messages (../shared/fixtures) are not here"),
]

WITHIN_S = 60.0
MAKER_TO_TAKER = {"buy": "sell", "sell": "buy"}

ASSETS = {
    "binance-btc-2024": ("binance", "binance/spot_btcusdt_20240808.jsonl", "BTC/USDT"),
    "binance-eth-2024": ("binance", "binance/spot_ethusdt_20240808.jsonl", "ETH/USDT"),
    "binance-2026": ("binance", "binance/spot_btc_eth_trade_depth_20260707.jsonl", "BTC/USDT,ETH/USDT"),
    "binance-agg-2021": ("binance", "binance/spot_aggtrade_depth_kline_20210404.jsonl", "BTC/USDT,ETH/USDT,DOT/USDT"),
    "coinbase-2026": ("coinbase", "coinbase/exchange_matches_heartbeat_level2batch_btc_20260707.jsonl", "BTC/USD"),
    "coinbase-2021": (
        "coinbase",
        "coinbase/exchange_ticker_matches_level2_20210417.jsonl",
        "SKL/USD,BAND/GBP,YFI/BTC,NU/GBP,CRV/EUR,DASH/BTC",
    ),
    "coinbase-advanced": ("coinbase", "coinbase/advanced_btc_eth_20260809.jsonl", "BTC/USD,ETH/USD"),
}


def exact(text: str) -> str:
    """The same number without exponent and trailing zeros."""
    plain = format(Decimal(text), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def recorded_trades(venue: str, path: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """(native symbol, trade id, price, size, aggressor's side) of each trade that happened while the recorder listened."""
    for line in path.read_text().splitlines():
        message: Any = json.loads(line)
        if venue == "binance":
            body = message.get("data", message)
            if body.get("e") in {"trade", "aggTrade"}:
                identity = body["t"] if body["e"] == "trade" else body["a"]
                yield body["s"], str(identity), exact(body["p"]), exact(body["q"]), "sell" if body["m"] else "buy"
        elif message.get("type") == "match":
            side = MAKER_TO_TAKER[message["side"]]
            yield message["product_id"], str(message["trade_id"]), exact(message["price"]), exact(message["size"]), side
        elif message.get("channel") == "market_trades":
            for event in message["events"]:
                for trade in reversed(event["trades"] if event["type"] == "update" else []):
                    side = MAKER_TO_TAKER[trade["side"].lower()]
                    yield trade["product_id"], trade["trade_id"], exact(trade["price"]), exact(trade["size"]), side


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[dict[str, str]]:
    config = {
        "mode": "simulation",
        "listen": {"public": "127.0.0.1:0", "stream": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "state": {"path": str(tmp_path / "state.db")},
        "dead_letters": {"path": str(tmp_path / "dead.jsonl")},
        "limits": {"outbox_bytes": 64 << 20, "outbox_age_ms": 60_000},
        "logs": {"level": "warning"},
        "assets": {
            name: {
                "command": [
                    "python",
                    "-m",
                    f"finstream_ingestors.{venue}",
                    "--replay",
                    str(RECORDINGS / file),
                    "--symbols",
                    symbols,
                    "--speed",
                    "max",
                ],
                "origin": "replay",
            }
            for name, (venue, file, symbols) in ASSETS.items()
        },
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    with subprocess.Popen(
        [sys.executable, "-m", "finstream.cli", "run", "--config", str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0


def test_every_recorded_trade_arrives_once_in_order_digit_for_digit(engine: dict[str, str]) -> None:
    request = urllib.request.Request(
        f"{engine['public']}/v1/clients", data=b"{}", headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        client = json.load(answer)["uuid"]
    received: dict[str, list[dict[str, Any]]] = {name: [] for name in ASSETS}
    finished: set[str] = set()
    with connect(f"{engine['stream']}/v1/stream?client={client}", max_size=None) as websocket:
        websocket.send(json.dumps({"op": "subscribe", "topics": list(ASSETS), "id": 1}))
        while finished != set(ASSETS):
            message = json.loads(websocket.recv(timeout=WITHIN_S))
            if message["type"] == "tick":
                assert message["simulated"] is True
                received[message["asset"]].append(message)
            elif message["type"] == "asset" and message["state"] == "done":
                finished.add(message["asset"])
            else:
                assert message["type"] in {"welcome", "subscribed", "asset"}, message

    for name, (venue, file, _symbols) in ASSETS.items():
        ticks = received[name]
        assert [tick["seq"] for tick in ticks] == list(range(1, len(ticks) + 1)), "a gap"
        arrived = [
            (tick["raw_symbol"], tick["trade_id"], tick["price"], tick["volume"], tick["side"])
            for tick in ticks
            if "trade_id" in tick
        ]
        expected = list(recorded_trades(venue, RECORDINGS / file))
        assert len(expected) >= 50, f"{name}: the oracle found too little"
        assert arrived == expected, name
