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


def test_columns_have_the_same_types_whatever_is_in_them() -> None:
    for floats in (False, True):
        of_nothing, of_quotes = to_pandas([], floats=floats), to_pandas(TICKS[3:], floats=floats)
        assert dict(of_nothing.dtypes) == dict(of_quotes.dtypes) == dict(to_pandas(TICKS, floats=floats).dtypes)
        assert of_quotes["price"].dtype == ("float64" if floats else "object")
        assert of_quotes["trade_id"].isna().all()
    assert to_polars([], floats=True).schema == to_polars(TICKS, floats=True).schema


def test_each_member_of_a_tick_is_a_column() -> None:
    tick = Tick(asset="best", seq=1, symbol="X", ts_event=1, ts_recv=2, event_id=9, via="a", quality="suspect")
    members = set(Tick.__struct_fields__) - {"raw"}
    for table in (to_pandas([tick]), to_polars([tick])):
        assert set(table.columns) == members
        assert [table[name][0] for name in ("event_id", "via", "quality")] == ["9", "a", "suspect"]


def prices(*texts: str) -> list[Tick]:
    return [Tick(asset="a", seq=1, symbol="X", ts_event=1, ts_recv=2, price=Decimal(text)) for text in texts]


def test_polars_takes_as_many_digits_as_it_has() -> None:
    finest, largest = "0.0000000000000000000000000001", "9999999999.5"  # 28 places and 10 digits
    assert to_polars(prices(finest, largest))["price"].to_list() == [Decimal(finest), Decimal(largest)]
    assert to_polars(prices("1E+3"))["price"].to_list() == [Decimal(1000)]


def test_polars_says_which_column_does_not_fit() -> None:
    ticks = prices("0.0000000000000000000000000001", "12345678901.5")
    with pytest.raises(ValueError, match=r"price: 11 digits .* 28 after it .* floats=True"):
        to_polars(ticks)
    assert to_polars(ticks, floats=True)["price"].to_list() == [1e-28, 12345678901.5]
    assert to_pandas(ticks)["price"].to_list() == [tick.price for tick in ticks]
