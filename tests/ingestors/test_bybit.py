"""Bybit: its documented messages as ticks, and its protocol over a real socket. There is no recording of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from finstream_ingestors.bybit import BybitMapper, read_listing, subscribe_requests
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.outputs import Heartbeat, Output, Status
from local_bybit import LocalBybit
from local_venue import Session

SYMBOLS = {"BTCUSDT": "BTC/USDT"}
COMMON = {"symbol": "BTC/USDT", "exchange": "bybit", "raw_symbol": "BTCUSDT"}
QUOTED = {"bid_price": "16493.50", "bid_volume": "0.006", "ask_price": "16611.00", "ask_volume": "0.029"}


def trades(*numbers: int) -> str:
    rows = [
        {"T": 1672304486865, "s": "BTCUSDT", "S": "Buy", "v": "0.0010", "p": "16578.50", "i": str(number), "BT": False}
        for number in numbers
    ]
    return json.dumps({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1672304486868, "data": rows})


def book(seq: int, bid: str = "16493.50") -> str:
    data = {"s": "BTCUSDT", "b": [[bid, "0.006"]] if bid else [], "a": [["16611.00", "0.029"]], "u": 18521288, "seq": seq}
    return json.dumps({"topic": "orderbook.1.BTCUSDT", "type": "snapshot", "ts": 1672304484978, "data": data, "cts": 1672304484976})


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def mapper(ledger: Ledger) -> BybitMapper:
    return BybitMapper(SYMBOLS, ledger)


def say(mapper: BybitMapper, message: str) -> list[Output]:
    return list(mapper.map(message.encode(), 0))


def lines(outputs: list[Output]) -> list[Any]:
    return [json.loads(msgspec.json.encode(output)) for output in outputs]


def test_trades_and_quotes_keep_every_digit(mapper: BybitMapper) -> None:
    assert say(mapper, book(1)) == []
    assert lines(say(mapper, book(2))) == [{**COMMON, **QUOTED, "ts": 1672304484976}]
    assert say(mapper, book(2)) == []  # what is repeated after three seconds
    trade = {"price": "16578.50", "volume": "0.0010", "side": "buy", "ts": 1672304486865}
    assert lines(say(mapper, trades(2290000000036455162, 2290000000036455170))) == [
        {**COMMON, **QUOTED, **trade, "trade_id": number} for number in ("2290000000036455162", "2290000000036455170")
    ]
    assert say(mapper, trades(2290000000036455162)) == []
    (quote,) = lines(say(mapper, book(3, bid="")))
    assert "bid_price" not in quote


def test_on_a_new_connection_trades_carry_the_quote_that_is_no_news(mapper: BybitMapper, ledger: Ledger) -> None:
    say(mapper, book(1))
    mapper = BybitMapper(SYMBOLS, ledger)
    assert say(mapper, book(1)) == []
    (tick,) = lines(say(mapper, trades(7)))
    assert QUOTED.items() <= tick.items()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}', [Heartbeat()]),
        ('{"success":true,"ret_msg":"subscribe","conn_id":"x","req_id":"","op":"subscribe"}',
         [Status("subscribed", "a request is accepted")]),
        ('{"success":false,"ret_msg":"error:handler not found","conn_id":"x","op":"subscribe"}',
         [Status("error", "Bybit refuses to subscribe: error:handler not found")]),
        ('{"topic":"tickers.BTCUSDT","ts":1,"data":{}}', []),
    ],
)  # fmt: skip
def test_what_is_no_tick(mapper: BybitMapper, message: str, expected: list[Output]) -> None:
    assert say(mapper, message) == expected


def test_unmapped_symbols_and_the_time_of_a_message() -> None:
    mapper = BybitMapper({}, Ledger())
    (report,) = say(mapper, trades(1))
    assert isinstance(report, Status)
    assert mapper.time_of(trades(1).encode()) == 1672304486868 * 10**6
    assert mapper.time_of(b'{"op":"ping"}') is None


def test_the_listing_and_the_size_of_requests() -> None:
    body = b'{"retCode":0,"result":{"category":"spot","list":[{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT"}]}}'
    assert read_listing(body).symbols == SYMBOLS
    assert [len(json.loads(text)["args"]) for text in subscribe_requests([f"S{number}" for number in range(12)])] == [10, 10, 4]


def test_over_a_real_socket_with_a_cut_line(local: Callable[..., LocalBybit], start: Callable[..., Any]) -> None:
    def first(session: Session) -> None:
        for message in (book(1), book(2), trades(5)):
            session.send(message)
        session.cut()

    def second(session: Session) -> None:
        for message in (book(2), trades(6), book(3, bid="16493.51")):
            session.send(message)

    server = local(LocalBybit, first, second, listed=["BTCUSDT"])
    program = start("bybit", "--symbols", "BTC/USDT", "--url", server.url)
    ticks = program.ticks(4)
    assert [tick.get("trade_id") for tick in ticks] == [None, "5", "6", None]
    assert ticks[2]["bid_price"] == "16493.50"
    assert json.loads(server.sessions[0].requests[0]) == {
        "op": "subscribe", "args": ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT"],
    }  # fmt: skip
    assert program.terminate() == 0


def test_a_refused_request_is_told(local: Callable[..., LocalBybit], start: Callable[..., Any]) -> None:
    program = start("bybit", "--symbols", "NO/SUCH", "--url", local(LocalBybit, listed=["BTCUSDT"]).url)
    assert program.next_status("error") == "Bybit refuses to subscribe: error:handler not found,topic:orderbook.1.NOSUCH"
