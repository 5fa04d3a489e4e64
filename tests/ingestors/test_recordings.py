"""Every recorded trade and quote of Binance and Coinbase, digit for digit, against an oracle that knows nothing of the
kit: plain ``json``, and comparison of text."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.recordings

BINANCE = [
    "spot_btcusdt_20240808", "spot_ethusdt_20240808", "spot_btc_eth_trade_depth_20260707",
    "spot_aggtrade_depth_kline_20210404", "spot_4symbols_20211012", "frames_2026",
]
EXCHANGE = ["exchange_matches_heartbeat_level2batch_btc_20260707", "exchange_ticker_matches_level2_20210417"]
MAKER_TO_TAKER = {"buy": "sell", "sell": "buy", "BUY": "sell", "SELL": "buy"}


def recorded(path: Path) -> Iterator[tuple[Any, int | None]]:
    times_path = path.with_name(path.name.replace(".jsonl", ".recv.txt"))
    messages = [json.loads(line) for line in path.read_text().splitlines()]
    if not times_path.exists():
        yield from ((message, None) for message in messages)
        return
    for message, text in zip(messages, times_path.read_text().split(), strict=True):
        yield message, int(Decimal(text) * 10**9) if "." in text else int(text)


def binance_oracle(messages: Iterator[tuple[Any, int | None]], names: dict[str, str]) -> Iterator[dict[str, Any]]:
    quotes: dict[str, dict[str, str]] = {}
    for message, received_ns in messages:
        body = message.get("data", message)
        kind = body.get("e", "bookTicker" if "B" in body else "")
        if kind not in {"trade", "aggTrade", "bookTicker"}:
            continue
        raw_symbol = body["s"]
        common = {"symbol": names[raw_symbol], "exchange": "binance", "raw_symbol": raw_symbol}
        if kind == "bookTicker":
            quotes[raw_symbol] = {
                "bid_price": body["b"], "bid_volume": body["B"], "ask_price": body["a"], "ask_volume": body["A"],
            }
            yield {**common, **quotes[raw_symbol], "ts": received_ns, "quote_time": "local"}
            continue
        tick = {
            **common, **quotes.get(raw_symbol, {}),
            "price": body["p"], "volume": body["q"], "side": "sell" if body["m"] else "buy", "ts": body["T"],
        }
        if kind == "trade":
            yield {**tick, "trade_id": body["t"]}
        else:
            yield {**tick, "trade_id": body["a"], "first_trade_id": body["f"], "last_trade_id": body["l"]}


def exchange_oracle(messages: Iterator[tuple[Any, int | None]]) -> Iterator[dict[str, Any]]:
    quotes: dict[str, dict[str, str]] = {}
    for message, _ in messages:
        product = message.get("product_id", "")
        common = {"symbol": product.replace("-", "/"), "exchange": "coinbase", "raw_symbol": product}
        if message["type"] == "ticker":
            is_first = product not in quotes
            quotes[product] = {"bid_price": message["best_bid"], "ask_price": message["best_ask"]}
            if not is_first:
                yield {**common, **quotes[product], "ts": message["time"]}
        elif message["type"] == "match":
            yield {
                **common, **quotes.get(product, {}), "price": message["price"], "volume": message["size"],
                "side": MAKER_TO_TAKER[message["side"]], "trade_id": message["trade_id"], "ts": message["time"],
            }


def advanced_oracle(messages: Iterator[tuple[Any, int | None]]) -> Iterator[dict[str, Any]]:
    quotes: dict[str, dict[str, str]] = {}
    for message, _ in messages:
        for event in message["events"]:
            for trade in event.get("trades", [])[::-1]:
                if event["type"] == "update":
                    product = trade["product_id"]
                    yield {
                        "symbol": product.replace("-", "/"), "exchange": "coinbase", "raw_symbol": product,
                        **quotes.get(product, {}), "price": trade["price"], "volume": trade["size"],
                        "side": MAKER_TO_TAKER[trade["side"]], "trade_id": trade["trade_id"], "ts": trade["time"],
                    }
            for ticker in event.get("tickers", []):
                product = ticker["product_id"]
                quotes[product] = {
                    "bid_price": ticker["best_bid"], "bid_volume": ticker["best_bid_quantity"],
                    "ask_price": ticker["best_ask"], "ask_volume": ticker["best_ask_quantity"],
                }
                yield {
                    "symbol": product.replace("-", "/"), "exchange": "coinbase", "raw_symbol": product,
                    **quotes[product], "ts": message["timestamp"], "quote_time": "envelope",
                }


def binance_names(recordings: Path) -> dict[str, str]:
    with gzip.open(recordings / "binance" / "rest_exchangeInfo_20211012.json.gz", "rt") as file:
        return {entry["symbol"]: f"{entry['baseAsset']}/{entry['quoteAsset']}" for entry in json.load(file)["symbols"]}


def ticks(run: Callable[..., Any], *arguments: object) -> list[dict[str, Any]]:
    """What the program prints, without status lines and heartbeats."""
    result = run(*map(str, arguments), "--speed", "max")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[0]["state"] == "replaying"
    assert lines[-1]["state"] == "finished"
    assert not [line for line in lines if line.get("state") in {"error", "gap", "unmapped"}]
    return [line for line in lines if "type" not in line]


@pytest.mark.parametrize("name", BINANCE)
def test_binance(name: str, recordings: Path, run: Callable[..., Any]) -> None:
    folder = recordings / "binance"
    path = folder / f"{name}.jsonl"
    expected = list(binance_oracle(recorded(path), binance_names(recordings)))
    assert len(expected) > 0
    listing = folder / "rest_exchangeInfo_20211012.json.gz"
    assert ticks(run, "binance", "--replay", path, "--listing", listing) == expected


@pytest.mark.parametrize(("name", "symbol"), [("btcusdt", "BTC/USDT"), ("ethusdt", "ETH/USDT")])
def test_binance_with_the_receive_time_in_front_of_each_message(
    name: str, symbol: str, recordings: Path, run: Callable[..., Any]
) -> None:
    path = recordings / "history" / f"binance_spot_{name}_20240808.raw.gz"
    with gzip.open(path, "rt") as file:
        entries = [line.split(" ", 1) for line in file]
    messages = ((json.loads(text), int(received_ns)) for received_ns, text in entries)
    expected = list(binance_oracle(messages, {symbol.replace("/", ""): symbol}))
    assert len(expected) > 10_000
    assert ticks(run, "binance", "--replay", path, "--symbols", symbol) == expected


@pytest.mark.parametrize("name", EXCHANGE)
def test_coinbase_exchange(name: str, recordings: Path, run: Callable[..., Any]) -> None:
    folder = recordings / "coinbase"
    path = folder / f"{name}.jsonl"
    expected = list(exchange_oracle(recorded(path)))
    assert len(expected) > 0
    listing = folder / "rest_exchange_products_20210417.jsonl"
    assert ticks(run, "coinbase", "--replay", path, "--listing", listing) == expected


def test_coinbase_advanced(recordings: Path, run: Callable[..., Any]) -> None:
    folder = recordings / "coinbase"
    path = folder / "advanced_btc_eth_20260809.jsonl"
    expected = list(advanced_oracle(recorded(path)))
    assert len([tick for tick in expected if "price" in tick]) == 57
    listing = folder / "rest_advanced_products_20260809.json.gz"
    assert ticks(run, "coinbase", "--replay", path, "--listing", listing) == expected


@pytest.mark.parametrize("name", ["exchange_frames_2026", "advanced_frames_2026", "documented_and_edge_examples"])
def test_single_frames_of_coinbase_are_understood(name: str, recordings: Path, run: Callable[..., Any]) -> None:
    """They come from different sessions, so nothing is said about their order: only that none stops the program."""
    path = recordings / "coinbase" / f"{name}.jsonl"
    result = run("coinbase", "--replay", str(path), "--symbols", "BTC/USD", "--speed", "max")
    assert result.returncode == 0
    assert json.loads(result.stdout.splitlines()[-1])["state"] == "finished"


def test_an_alias_of_the_advanced_feed_is_refused_with_its_real_name(
    recordings: Path, run: Callable[..., Any]
) -> None:
    folder = recordings / "coinbase"
    listing = folder / "rest_advanced_products_20260809.json.gz"
    path = folder / "advanced_btc_eth_20260809.jsonl"
    result = run("coinbase", "--replay", str(path), "--listing", str(listing), "--symbols", "BTC/USDC")
    assert result.returncode == 78
    assert "another name of BTC/USD" in result.stderr
