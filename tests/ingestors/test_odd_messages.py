"""Messages that are JSON and yet not what the venue documents: counted and told, and the connection goes on."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from finstream_ingestors.binance.mapper import BinanceMapper
from finstream_ingestors.bybit import BybitMapper
from finstream_ingestors.coinbase.advanced import AdvancedMapper
from finstream_ingestors.coinbase.exchange import ExchangeMapper
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.lines import LineWriter
from finstream_ingestors.kit.mapper import Mapper
from finstream_ingestors.kit.outputs import Tick
from finstream_ingestors.kit.pipeline import Pipeline
from finstream_ingestors.kraken.mapper import KrakenMapper
from finstream_ingestors.okx import OkxMapper
from finstream_ingestors.yahoo import YahooMapper, pricing_type
from local_binance import LocalBinance
from local_venue import Session

TIME = "2026-01-02T03:04:05.000006Z"
PRICING = pricing_type()(id="AAPL", price=1.5, time=1756139880000, quote_type=8)
VENUES: dict[str, tuple[Callable[[dict[str, str], Ledger], Mapper], list[Any]]] = {
    "binance": (
        BinanceMapper,
        [
            {"stream": "a@trade", "data": {
                "e": "trade", "E": 1, "s": "A", "t": 7, "p": "1.50", "q": "2", "T": 1700000000000, "m": False}},
            {"stream": "a@bookTicker", "data": {"u": 5, "s": "A", "b": "1", "B": "5", "a": "2", "A": "6"}},
            {"result": None, "id": 1},
            {"error": {"code": 2, "msg": "no"}, "id": 1},
        ],
    ),
    "bybit": (
        BybitMapper,
        [
            {
                "topic": "publicTrade.A", "type": "snapshot", "ts": 1672304486868,
                "data": [{"T": 1672304486865, "s": "A", "S": "Buy", "v": "0.0010", "p": "16578.50", "i": "7", "BT": False}],
            },
            {
                "topic": "orderbook.1.A", "type": "snapshot", "ts": 1672304484978, "cts": 1672304484976,
                "data": {"s": "A", "b": [["1", "0.006"]], "a": [["2", "0.029"]], "u": 18521288, "seq": 1},
            },
            {"success": False, "ret_msg": "no", "conn_id": "x", "op": "subscribe"},
        ],
    ),
    "coinbase": (
        ExchangeMapper,
        [
            {"type": "match", "trade_id": 7, "side": "buy", "size": "0.1", "price": "1.5", "product_id": "A", "sequence": 5,
             "time": TIME},
            {"type": "ticker", "sequence": 5, "product_id": "A", "price": "1.5", "best_bid": "1", "best_ask": "2", "side": "sell",
             "time": TIME, "trade_id": 8, "last_size": "0.1", "best_bid_size": "1", "best_ask_size": "2"},
            {"type": "subscriptions", "channels": [{"name": "matches", "product_ids": ["A"]}]},
            {"type": "heartbeat", "sequence": 9, "last_trade_id": 9, "product_id": "A", "time": TIME},
            {"type": "error", "message": "no", "reason": "why"},
        ],
    ),
    "coinbase advanced": (
        AdvancedMapper,
        [
            {"channel": "market_trades", "timestamp": TIME, "sequence_num": 0, "events": [{"type": "update", "trades": [
                {"trade_id": "7", "product_id": "A", "price": "1.5", "size": "0.1", "side": "SELL", "time": TIME}]}]},
            {"channel": "ticker", "timestamp": TIME, "sequence_num": 1, "events": [{"type": "update", "tickers": [
                {"type": "ticker", "product_id": "A", "price": "1.5", "best_bid": "1", "best_bid_quantity": "1", "best_ask": "2",
                 "best_ask_quantity": "2"}]}]},
            {"channel": "subscriptions", "timestamp": TIME, "sequence_num": 2, "events": [{"subscriptions": {"ticker": ["A"]}}]},
            {"type": "error", "message": "no"},
        ],
    ),
    "kraken": (
        KrakenMapper,
        [
            {"channel": "trade", "type": "update", "data": [
                {"symbol": "A", "side": "buy", "price": 1.5, "qty": 2, "trade_id": 7, "timestamp": TIME}]},
            {"channel": "ticker", "type": "update", "data": [
                {"symbol": "A", "bid": 1, "bid_qty": 1, "ask": 2, "ask_qty": 1, "timestamp": TIME}]},
            {"channel": "status", "type": "update", "data": [{"system": "maintenance", "upcoming_maintenance": [{"title": "x"}]}]},
            {"method": "subscribe", "result": {"channel": "ticker", "symbol": "A", "warnings": ["old"]}, "success": True},
        ],
    ),
    "okx": (
        OkxMapper,
        [
            {"arg": {"channel": "trades", "instId": "A"}, "data": [
                {"instId": "A", "tradeId": "7", "px": "1.5", "sz": "0.1", "side": "buy", "ts": "1630048897897", "count": "3"}]},
            {"arg": {"channel": "trades", "instId": "A"}, "data": [
                {"instId": "A", "tradeId": "8", "px": "1.5", "sz": "0.1", "side": "buy", "ts": "1630048897898", "count": "1"}]},
            {"arg": {"channel": "bbo-tbt", "instId": "A"}, "data": [
                {"bids": [["1", "5", "0", "3"]], "asks": [["2", "5", "0", "3"]], "ts": "1749044565306", "seqId": 1}]},
            {"arg": {"channel": "tickers", "instId": "A"}, "data": [
                {"instId": "A", "bidPx": "1", "bidSz": "5", "askPx": "2", "askSz": "5", "ts": "1749044565306"}]},
            {"event": "notice", "code": "64008", "msg": "Please reconnect."},
            {"event": "error", "code": "60012", "msg": "no", "connId": "x"},
        ],
    ),
    "yahoo": (YahooMapper, [{"type": "pricing", "message": base64.b64encode(PRICING.SerializeToString()).decode()}]),
}  # fmt: skip
ODD: list[Any] = [
    None, True, 0, -1, 1e300, 2**70, "", "x", "9" * 400, "\x00", [], [[]], [None], [[[1]]], {}, {"": None}, {"a": {"b": []}},
]  # fmt: skip
DEEP = ["[" * 100_000, '{"a":' * 50_000, "[" * 100_000 + "]" * 100_000]
NO_OBJECTS = ["", "null", "0", "[]", '"x"', "\ufeff{}", "{", '{"a":1}{"b":2}', '"\\ud800"', "NaN"]


def spoilt(value: Any) -> Iterator[Any]:
    """The same with any one of its values replaced by something odd, or left out."""
    yield from ODD
    if isinstance(value, dict):
        for key in value:
            yield {name: each for name, each in value.items() if name != key}
            yield from ({**value, key: each} for each in spoilt(value[key]))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from ([*value[:place], each, *value[place + 1 :]] for each in spoilt(one))


class Statuses(LineWriter):
    """Keeps the statuses, and that all else can be written."""

    def __init__(self) -> None:
        super().__init__(os.open(os.devnull, os.O_WRONLY))
        self.told: list[tuple[str, str]] = []

    def status(self, state: str, detail: str) -> None:
        self.told.append((state, detail))


@pytest.fixture
def writer() -> Iterator[Statuses]:
    writer = Statuses()
    yield writer
    os.close(writer._fd)


@pytest.mark.parametrize("name", VENUES)
def test_whatever_a_venue_sends_is_told_or_counted(name: str, writer: Statuses) -> None:
    open_mapper, samples = VENUES[name]
    messages = [json.dumps(odd) for sample in samples for odd in spoilt(sample)] + DEEP + NO_OBJECTS
    symbol = "AAPL" if name == "yahoo" else "A"
    for message in messages:
        pipeline = Pipeline(open_mapper({symbol: "A/B"}, Ledger()), writer, Ledger())
        for _ in range(2):  # the first of some is only what was before
            pipeline.take(message.encode(errors="surrogatepass"), 1_700_000_000_000_000_000)
        pipeline.catch_up([(message.encode(errors="surrogatepass"), 1_700_000_000_000_000_000)])
        mapper = open_mapper({symbol: "A/B"}, Ledger())
        for sample in samples:  # and it goes on
            mapper.map(json.dumps(sample).encode(), 1_700_000_000_000_000_000)
    assert [detail for state, detail in writer.told if "unreadable message (" in detail and state == "error"]


@pytest.mark.parametrize("name", [name for name in VENUES if name != "yahoo"])
def test_the_samples_are_what_the_venue_documents(name: str, writer: Statuses) -> None:
    """Else the test before would try nothing."""
    open_mapper, samples = VENUES[name]
    mapper = open_mapper({"A": "A/B"}, Ledger())
    outputs = [output for sample in samples for output in mapper.map(json.dumps(sample).encode(), 1_700_000_000_000_000_000)]
    assert [output for output in outputs if isinstance(output, Tick) and output.price is not None]
    assert writer.told == []


def test_a_connection_goes_on_after_an_odd_message(
    local: Callable[..., LocalBinance], start: Callable[..., Any]
) -> None:
    def act(session: Session) -> None:
        session.send('{"stream":"abcusd@trade","data":' + "[" * 5000)
        session.send('{"stream":"abcusd@trade","data":{"e":"trade","s":[]}}')
        session.send(
            {"stream": "abcusd@trade", "data": {
                "e": "trade", "E": 1, "s": "ABCUSD", "t": 7, "p": "1.50", "q": "2", "T": 1700000000000, "m": False, "M": True}}
        )  # fmt: skip

    server = local(LocalBinance, act, listed=["abcusd"])
    program = start("binance", "--symbols", "ABC/USD", "--url", server.url)
    assert program.next_status("error").startswith("unreadable message (")
    assert program.next_tick()["trade_id"] == 7
    assert server.connections == 1
