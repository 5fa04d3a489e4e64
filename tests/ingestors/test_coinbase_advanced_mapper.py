"""The documented messages of the Coinbase Advanced Trade feed as ticks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from finstream_ingestors.coinbase.advanced import AdvancedMapper
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.outputs import Heartbeat, Output, Status

TIMESTAMP = "2026-01-02T03:04:05.123456789Z"


SYMBOLS = {"ABC-USD": "ABC/USD", "XYZ-USD": "XYZ/USD"}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def mapper(ledger: Ledger) -> AdvancedMapper:
    return AdvancedMapper(SYMBOLS, ledger)


def trade(trade_id: int, *, side: str = "SELL", product: str = "ABC-USD") -> dict[str, str]:
    return {
        "trade_id": str(trade_id), "product_id": product, "price": "10.50", "size": "0.100", "side": side,
        "time": "2026-01-02T03:04:05.00001Z",
    }


def trades(*ids: int, kind: str = "update", product: str = "ABC-USD") -> list[dict[str, object]]:
    """One event, newest first, as the venue sends it."""
    return [{"type": kind, "trades": [trade(trade_id, product=product) for trade_id in sorted(ids, reverse=True)]}]


def ticker(**members: str) -> list[dict[str, object]]:
    return [{"type": "update", "tickers": [{"type": "ticker", "product_id": "ABC-USD", "price": "10.5", **members}]}]


QUOTE = {"best_bid": "10.49", "best_bid_quantity": "1.0", "best_ask": "10.51", "best_ask_quantity": "2.00"}
QUOTED = {"bid_price": "10.49", "bid_volume": "1.0", "ask_price": "10.51", "ask_volume": "2.00"}


def say(mapper: AdvancedMapper, channel: str, events: object, number: int | None = None) -> list[Output]:
    envelope = {"channel": channel, "timestamp": TIMESTAMP, "sequence_num": number, "events": events}
    return list(mapper.map(json.dumps(envelope).encode(), 0))


def lines(outputs: list[Output]) -> list[Any]:
    return [json.loads(msgspec.json.encode(output)) for output in outputs]


def told(mapper: AdvancedMapper, events: object) -> list[str]:
    return [line["trade_id"] for line in lines(say(mapper, "market_trades", events))]


def test_a_trade_keeps_every_digit_and_turns_the_makers_side_around(mapper: AdvancedMapper) -> None:
    assert lines(say(mapper, "market_trades", [{"type": "update", "trades": [trade(7, side="SELL")]}])) == [
        {
            "symbol": "ABC/USD", "exchange": "coinbase", "price": "10.50", "volume": "0.100", "side": "buy",
            "trade_id": "7", "ts": "2026-01-02T03:04:05.00001Z", "raw_symbol": "ABC-USD",
        }
    ]
    (other,) = lines(say(mapper, "market_trades", [{"type": "update", "trades": [trade(8, side="BUY")]}]))
    assert other["side"] == "sell"


def test_trades_are_told_in_the_order_in_which_they_happened(mapper: AdvancedMapper) -> None:
    assert told(mapper, trades(1, 2, 3)) == ["1", "2", "3"]
    assert told(mapper, trades(4, 5) + trades(6, 7)) == ["4", "5", "6", "7"]


def test_the_snapshot_is_the_past_at_first(mapper: AdvancedMapper) -> None:
    assert told(mapper, trades(1, 2, 3, kind="snapshot")) == []
    assert told(mapper, trades(3, 4)) == ["4"]


def test_the_snapshot_after_a_reconnect_tells_what_was_missed(mapper: AdvancedMapper, ledger: Ledger) -> None:
    told(mapper, trades(1, 2, 3, kind="snapshot"))
    told(mapper, trades(4))
    mapper = AdvancedMapper(SYMBOLS, ledger)  # of the next connection
    assert told(mapper, trades(2, 3, 4, 5, 6, kind="snapshot")) == ["5", "6"]
    assert told(mapper, trades(6, 7)) == ["7"]


def test_a_product_that_is_new_on_a_later_connection_has_no_news_in_its_snapshot(mapper: AdvancedMapper, ledger: Ledger) -> None:
    told(mapper, trades(4))
    mapper = AdvancedMapper(SYMBOLS, ledger)  # of the next connection
    mixed = [{"type": "snapshot", "trades": [trade(9, product="XYZ-USD"), trade(8, product="XYZ-USD"), trade(5)]}]
    assert told(mapper, mixed) == ["5"]


def test_a_ticker_is_a_quote_with_the_time_of_its_envelope(mapper: AdvancedMapper, ledger: Ledger) -> None:
    assert lines(say(mapper, "ticker", ticker(**QUOTE))) == [
        {
            "symbol": "ABC/USD", "exchange": "coinbase", **QUOTED,
            "ts": TIMESTAMP, "raw_symbol": "ABC-USD", "quote_time": "envelope",
        }
    ]
    (tick,) = lines(say(mapper, "market_trades", trades(1)))
    assert QUOTED.items() <= tick.items()
    mapper = AdvancedMapper(SYMBOLS, ledger)  # of the next connection
    (tick,) = lines(say(mapper, "market_trades", trades(2)))
    assert "bid_price" not in tick


def test_a_ticker_without_a_quote_says_nothing(mapper: AdvancedMapper) -> None:
    assert say(mapper, "ticker", ticker()) == []
    assert mapper.tally.ignored == {"ticker without a quote": 1}


def test_holes_in_the_numbering_are_counted_and_reported(mapper: AdvancedMapper) -> None:
    assert say(mapper, "ticker", [], 0) == []
    assert say(mapper, "l2_data", [], 1) == []  # all channels count, also those that are ignored
    (gap,) = say(mapper, "ticker", [], 5)
    assert isinstance(gap, Status)
    assert gap.state == "gap"
    assert gap.detail.startswith("3 lost before message 5")
    assert say(mapper, "ticker", [], 6) == []
    (disorder,) = say(mapper, "ticker", [], 4)
    assert isinstance(disorder, Status)
    assert "out of order" in disorder.detail
    assert (mapper.tally.lost, mapper.tally.gaps) == (3, 2)


def test_each_connection_counts_from_the_start(mapper: AdvancedMapper, ledger: Ledger) -> None:
    say(mapper, "ticker", [], 41)
    mapper = AdvancedMapper(SYMBOLS, ledger)  # of the next connection
    assert say(mapper, "ticker", [], 0) == []
    assert say(mapper, "ticker", [], 1) == []


def test_a_gap_is_told_before_the_ticks_of_its_message(mapper: AdvancedMapper) -> None:
    say(mapper, "ticker", [], 0)
    outputs = lines(say(mapper, "market_trades", trades(1), 2))
    assert [output.get("state", "tick") for output in outputs] == ["gap", "tick"]


def test_errors_are_told_apart_by_type_before_all_else(mapper: AdvancedMapper) -> None:
    error = b'{"type":"error","message":"channel is not supported","channel":"market_trades"}'
    assert list(mapper.map(error, 0)) == [Status("error", "Coinbase: channel is not supported")]


def test_heartbeats_acknowledgements_and_other_channels(mapper: AdvancedMapper) -> None:
    heartbeat = [{"current_time": "2026-01-02 03:04:05.1 +0000 UTC m=+1.5", "heartbeat_counter": 3}]
    assert say(mapper, "heartbeats", heartbeat) == [Heartbeat()]
    assert say(mapper, "subscriptions", [{"subscriptions": {"ticker": ["ABC-USD"], "heartbeats": ["heartbeats"]}}]) == [
        Status("subscribed", "heartbeats, ticker")
    ]
    assert say(mapper, "l2_data", [{"type": "snapshot", "updates": []}]) == []
    assert mapper.tally.ignored == {"l2_data": 1}


def test_unmapped_products_are_counted_and_reported_once(mapper: AdvancedMapper) -> None:
    (report,) = say(mapper, "market_trades", trades(1, 2, product="NEW-USD"))
    assert isinstance(report, Status)
    assert report.state == "unmapped"
    assert mapper.tally.unmapped == {"NEW-USD": 2}


def test_the_time_of_a_message(mapper: AdvancedMapper) -> None:
    assert mapper.time_of(b'{"channel":"ticker","timestamp":"%s"}' % TIMESTAMP.encode()) == 1767323045_123_456_789
