"""The documented messages of the Coinbase Exchange feed as ticks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from finstream_ingestors.coinbase.exchange import ExchangeMapper
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.outputs import Heartbeat, Output, Status

SYMBOLS = {"ABC-USD": "ABC/USD", "XYZ-EUR": "XYZ/EUR"}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def mapper(ledger: Ledger) -> ExchangeMapper:
    return ExchangeMapper(SYMBOLS, ledger)


def match(trade_id: int, *, kind: str = "match", side: str = "buy", product: str = "ABC-USD") -> dict[str, Any]:
    return {
        "type": kind, "trade_id": trade_id, "maker_order_id": "m", "taker_order_id": "t", "side": side,
        "size": "0.100", "price": "10.50", "product_id": product, "sequence": 5, "time": "2026-01-02T03:04:05.000006Z",
    }


def ticker(bid: str = "10.49", ask: str = "10.51", trade_id: int = 1, **more: str) -> dict[str, Any]:
    return {
        "type": "ticker", "sequence": 5, "product_id": "ABC-USD", "price": "10.50", "best_bid": bid, "best_ask": ask,
        "side": "sell", "time": "2026-01-02T03:04:05.000007Z", "trade_id": trade_id, "last_size": "0.1", **more,
    }


SIZES = {"best_bid_size": "1.0", "best_ask_size": "2.00"}
QUOTED = {"bid_price": "10.49", "bid_volume": "1.0", "ask_price": "10.51", "ask_volume": "2.00"}


def say(mapper: ExchangeMapper, message: object) -> list[Output]:
    return list(mapper.map(json.dumps(message).encode(), 0))


def lines(outputs: list[Output]) -> list[Any]:
    return [json.loads(msgspec.json.encode(output)) for output in outputs]


def told(mapper: ExchangeMapper, *messages: object) -> list[int]:
    return [line["trade_id"] for message in messages for line in lines(say(mapper, message)) if "price" in line]


def test_a_match_keeps_every_digit_and_turns_the_makers_side_around(mapper: ExchangeMapper) -> None:
    assert lines(say(mapper, match(7, side="sell"))) == [
        {
            "symbol": "ABC/USD", "exchange": "coinbase", "price": "10.50", "volume": "0.100", "side": "buy",
            "trade_id": 7, "ts": "2026-01-02T03:04:05.000006Z", "raw_symbol": "ABC-USD",
        }
    ]
    (other,) = lines(say(mapper, match(8, side="buy")))
    assert other["side"] == "sell"


def test_the_first_ticker_is_the_past_and_later_ones_are_quotes(mapper: ExchangeMapper) -> None:
    assert say(mapper, ticker(**SIZES)) == []
    assert lines(say(mapper, ticker(**SIZES))) == [
        {
            "symbol": "ABC/USD", "exchange": "coinbase", **QUOTED,
            "ts": "2026-01-02T03:04:05.000007Z", "raw_symbol": "ABC-USD",
        }
    ]


def test_a_match_carries_the_quote_last_known_until_the_connection_ends(mapper: ExchangeMapper, ledger: Ledger) -> None:
    say(mapper, ticker(**SIZES))
    (tick,) = lines(say(mapper, match(1)))
    assert QUOTED.items() <= tick.items()
    mapper = ExchangeMapper(SYMBOLS, ledger)  # of the next connection
    (tick,) = lines(say(mapper, match(2)))
    assert "bid_price" not in tick


def test_old_tickers_have_no_sizes_and_empty_text_is_absent(mapper: ExchangeMapper) -> None:
    say(mapper, ticker())
    (tick,) = lines(say(mapper, ticker(bid="")))
    assert "bid_price" not in tick
    assert "bid_volume" not in tick
    assert tick["ask_price"] == "10.51"
    assert say(mapper, ticker(bid="", ask="")) == []


@pytest.mark.parametrize("ticker_first", [True, False])
def test_a_trade_in_match_and_ticker_is_told_once(mapper: ExchangeMapper, ticker_first: bool) -> None:
    say(mapper, ticker(trade_id=6))
    pair = [ticker(trade_id=7), match(7)] if ticker_first else [match(7), ticker(trade_id=7)]
    assert told(mapper, *pair) == [7]


def test_the_last_match_is_the_past_at_first(mapper: ExchangeMapper) -> None:
    assert told(mapper, match(7, kind="last_match"), match(8)) == [8]


@pytest.mark.parametrize(("last", "expected"), [(8, []), (7, []), (9, [9])])
def test_the_last_match_after_a_reconnect_is_told_only_if_it_is_new(
    mapper: ExchangeMapper, ledger: Ledger, last: int, expected: list[int]
) -> None:
    told(mapper, match(7, kind="last_match"), match(8))
    mapper = ExchangeMapper(SYMBOLS, ledger)  # of the next connection
    assert told(mapper, match(last, kind="last_match")) == expected
    assert told(mapper, match(last), match(10)) == [10]


def test_a_match_that_comes_late_is_still_told(mapper: ExchangeMapper) -> None:
    assert told(mapper, match(7), match(9), match(8), match(9), match(8)) == [7, 9, 8]


def test_products_do_not_share_trade_ids(mapper: ExchangeMapper) -> None:
    assert told(mapper, match(7), match(7, product="XYZ-EUR")) == [7, 7]


def test_errors_and_acknowledgements_become_status_lines(mapper: ExchangeMapper) -> None:
    (error,) = say(mapper, {"type": "error", "message": "Failed to subscribe", "reason": "NO-SUCH is not valid"})
    (ack,) = say(mapper, {"type": "subscriptions", "channels": [{"name": "matches", "product_ids": ["ABC-USD"]}]})
    assert error == Status("error", "Coinbase: Failed to subscribe: NO-SUCH is not valid")
    assert ack == Status("subscribed", "matches")


def test_heartbeats_pass_and_unknown_types_are_counted(mapper: ExchangeMapper) -> None:
    heartbeat = {"type": "heartbeat", "sequence": 90, "last_trade_id": 20, "product_id": "ABC-USD", "time": "t"}
    assert say(mapper, heartbeat) == [Heartbeat()]
    assert say(mapper, {"type": "l2update", "product_id": "ABC-USD", "changes": [["buy", "1", "2"]]}) == []
    assert say(mapper, {"type": "never heard of"}) == []
    assert mapper.tally.ignored == {"l2update": 1, "never heard of": 1}


def test_unmapped_products_are_counted_and_reported_once(mapper: ExchangeMapper) -> None:
    (report,) = say(mapper, match(1, product="NEW-USD"))
    assert isinstance(report, Status)
    assert say(mapper, match(2, product="NEW-USD")) == []
    assert mapper.tally.unmapped == {"NEW-USD": 2}


def test_the_time_of_a_message(mapper: ExchangeMapper) -> None:
    assert mapper.time_of(json.dumps(match(1)).encode()) == 1767323045_000_006_000
    assert mapper.time_of(b'{"type":"l2update","time":"0001-01-01T00:00:00.000000Z"}') is None
    assert mapper.time_of(b'{"type":"subscriptions","channels":[]}') is None
