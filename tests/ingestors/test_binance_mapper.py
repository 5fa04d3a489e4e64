"""Binance's documented messages as ticks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from finstream_ingestors.binance.mapper import BinanceMapper
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.outputs import Output, Reconnect, Status

RECEIVED_NS = 1_700_000_000_123_456_789


def lines(outputs: Any) -> list[Any]:
    return [json.loads(msgspec.json.encode(output)) for output in outputs]


SYMBOLS = {"BNBBTC": "BNB/BTC", "ABCUSDT": "ABC/USDT"}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def mapper(ledger: Ledger) -> BinanceMapper:
    return BinanceMapper(SYMBOLS, ledger)


def trade(trade_id: int = 12345, symbol: str = "BNBBTC", *, buyer_is_maker: bool = True) -> dict[str, Any]:
    return {
        "e": "trade", "E": 1672515782136, "s": symbol, "t": trade_id, "p": "0.00100", "q": "100",
        "T": 1672515782137, "m": buyer_is_maker, "M": True,
    }


QUOTE = {"u": 400900217, "s": "BNBBTC", "b": "0.00099", "B": "31.21000000", "a": "0.00101", "A": "40.66000000"}
QUOTED = {"bid_price": "0.00099", "bid_volume": "31.21000000", "ask_price": "0.00101", "ask_volume": "40.66000000"}
TRADED = {
    "symbol": "BNB/BTC", "exchange": "binance", "price": "0.00100", "volume": "100", "side": "sell",
    "trade_id": 12345, "ts": 1672515782137, "raw_symbol": "BNBBTC",
}


def say(mapper: BinanceMapper, message: object, stream: str | None = None) -> list[Output]:
    whole = message if stream is None else {"stream": stream, "data": message}
    return list(mapper.map(json.dumps(whole).encode(), RECEIVED_NS))


@pytest.mark.parametrize("stream", [None, "bnbbtc@trade"])
def test_a_trade_keeps_every_digit(mapper: BinanceMapper, stream: str | None) -> None:
    assert lines(say(mapper, trade(), stream)) == [TRADED]


def test_the_buyer_as_maker_means_that_the_aggressor_sold(mapper: BinanceMapper) -> None:
    (sold,) = lines(say(mapper, trade(1, buyer_is_maker=True)))
    (bought,) = lines(say(mapper, trade(2, buyer_is_maker=False)))
    assert (sold["side"], bought["side"]) == ("sell", "buy")


@pytest.mark.parametrize("stream", [None, "bnbbtc@bookTicker"])
def test_a_quote_has_our_time_and_says_so(mapper: BinanceMapper, stream: str | None) -> None:
    assert lines(say(mapper, QUOTE, stream)) == [
        {
            "symbol": "BNB/BTC", "exchange": "binance", **QUOTED,
            "ts": RECEIVED_NS, "raw_symbol": "BNBBTC", "quote_time": "local",
        }
    ]


def test_a_dated_quote_of_the_futures_keeps_its_time(mapper: BinanceMapper) -> None:
    (tick,) = lines(say(mapper, {**QUOTE, "e": "bookTicker", "E": 1672515782139, "T": 1672515782138}))
    assert tick["ts"] == 1672515782138
    assert "quote_time" not in tick


def test_a_trade_carries_the_quote_last_known_until_the_connection_ends(mapper: BinanceMapper, ledger: Ledger) -> None:
    say(mapper, QUOTE)
    assert lines(say(mapper, trade())) == [{**TRADED, **QUOTED}]
    mapper = BinanceMapper(SYMBOLS, ledger)  # of the next connection
    assert lines(say(mapper, trade(12346))) == [{**TRADED, "trade_id": 12346}]


def test_one_symbols_quote_is_not_anothers(mapper: BinanceMapper) -> None:
    say(mapper, QUOTE)
    (tick,) = lines(say(mapper, trade(symbol="ABCUSDT")))
    assert tick["symbol"] == "ABC/USDT"
    assert "bid_price" not in tick


def test_an_aggregate_trade_names_the_trades_it_joins(mapper: BinanceMapper) -> None:
    aggregate = {
        "e": "aggTrade", "E": 1672515782136, "s": "BNBBTC", "a": 777, "p": "0.001", "q": "100",
        "f": 100, "l": 105, "T": 1672515782136, "m": False, "M": True,
    }
    (tick,) = lines(say(mapper, aggregate, "bnbbtc@aggTrade"))
    assert (tick["trade_id"], tick["first_trade_id"], tick["last_trade_id"]) == (777, 100, 105)
    assert tick["side"] == "buy"


def test_a_trade_is_not_told_by_two_kinds_of_message(mapper: BinanceMapper) -> None:
    aggregate = {**trade(), "e": "aggTrade", "a": 7, "f": 1, "l": 1}
    assert say(mapper, trade(1))
    assert say(mapper, aggregate) == []
    assert say(mapper, trade(2))
    assert mapper.tally.ignored == {"aggTrade": 1}


def test_other_streams_are_counted_and_ignored(mapper: BinanceMapper) -> None:
    depth = {"e": "depthUpdate", "E": 1, "s": "BNBBTC", "U": 1, "u": 2, "b": [["1", "2"]], "a": []}
    assert say(mapper, depth, "bnbbtc@depth@100ms") == []
    assert say(mapper, [{"e": "24hrMiniTicker"}], "!miniTicker@arr") == []
    assert say(mapper, depth) == []
    assert mapper.tally.ignored == {"depth@100ms": 1, "!miniTicker@arr": 1, "depthUpdate": 1}


def test_unmapped_symbols_are_counted_and_reported_once(mapper: BinanceMapper) -> None:
    (report,) = say(mapper, trade(symbol="XYZBTC"))
    assert isinstance(report, Status)
    assert report.state == "unmapped"
    assert "XYZBTC" in report.detail
    assert say(mapper, {**QUOTE, "s": "XYZBTC"}) == []
    assert say(mapper, trade(symbol="OTHERBTC")) == []
    assert mapper.tally.unmapped == {"XYZBTC": 2, "OTHERBTC": 1}


@pytest.mark.parametrize("stream", [None, "whatever"])
@pytest.mark.parametrize(
    ("answer", "state", "detail"),
    [
        ({"result": None, "id": 1}, "subscribed", "request 1 is accepted"),
        ({"result": ["btcusdt@trade"], "id": "three"}, "subscribed", "request three is accepted"),
        ({"code": 0, "msg": "Unknown property", "id": 5}, "error", "request 5: Unknown property (code 0)"),
        ({"code": 3, "msg": "Invalid JSON: at line 1"}, "error", "a request: Invalid JSON: at line 1 (code 3)"),
    ],
)
def test_answers_to_requests_become_status_lines(
    mapper: BinanceMapper, answer: object, state: str, detail: str, stream: str | None
) -> None:
    (status,) = say(mapper, answer, stream)
    assert isinstance(status, Status)
    assert status.state == state
    assert detail in status.detail


@pytest.mark.parametrize("stream", [None, "!serverShutdown"])
def test_an_announced_shutdown_orders_a_new_connection(mapper: BinanceMapper, stream: str | None) -> None:
    (order,) = say(mapper, {"e": "serverShutdown", "E": 1770123456789}, stream)
    assert isinstance(order, Reconnect)


@pytest.mark.parametrize(
    ("message", "expected_ns"),
    [
        (trade(), 1672515782136_000_000),
        ({"stream": "bnbbtc@trade", "data": {**trade(), "E": 1672515782136001}}, 1672515782136001_000),
        (QUOTE, None),
        ({"stream": "!miniTicker@arr", "data": [{"E": 1}]}, None),
    ],
)
def test_the_time_of_a_message(mapper: BinanceMapper, message: object, expected_ns: int | None) -> None:
    assert mapper.time_of(json.dumps(message).encode()) == expected_ns
