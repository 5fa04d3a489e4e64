from __future__ import annotations

import datetime
from decimal import Decimal

import polars
import pytest

from finstream_client import Retrying, Tick, to_pandas, to_polars

TICKS = [
    Tick(asset="a", seq=1, symbol="X", ts_event=1_716_230_000_123_000, ts_recv=1_716_230_000_123_812, price=Decimal("0.1"), trade_id=7),
    Retrying(in_s=1.0),
    Tick(asset="a", seq=2, symbol="X", ts_event=1_716_230_000_123_001, ts_recv=1_716_230_000_123_813, price=Decimal("12.345678901234567890")),
    Tick(asset="a", seq=3, symbol="Y", ts_event=1_716_230_000_123_002, ts_recv=1_716_230_000_123_814, bid_price=Decimal(5)),
]  # fmt: skip
FIRST = datetime.datetime(2024, 5, 20, 18, 33, 20, 123000, datetime.UTC)


def test_pandas() -> None:
    table = to_pandas(TICKS)
    assert list(table["seq"]) == [1, 2, 3]
    assert list(table["price"]) == [Decimal("0.1"), Decimal("12.345678901234567890"), None]
    assert table["ts_event"][0] == FIRST
    assert table["ts_recv"][1].microsecond == 123813
    assert to_pandas(TICKS, floats=True)["price"].sum() == pytest.approx(12.4456789)


def test_polars() -> None:
    table = to_polars(TICKS)
    assert table["seq"].to_list() == [1, 2, 3]
    assert table["price"].dtype == polars.Decimal(38, 18)
    assert table["price"].to_list() == [Decimal("0.1"), Decimal("12.345678901234567890"), None]
    assert table["ts_event"][0] == FIRST
    assert table["trade_id"].to_list() == ["7", None, None]
    assert to_polars(TICKS, floats=True)["price"].dtype == polars.Float64


def test_nothing_is_a_table_too() -> None:
    assert to_pandas([]).empty
    assert to_polars([]).is_empty()
    assert list(to_pandas([]).columns) == to_polars([]).columns
