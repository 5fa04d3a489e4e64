"""Ticks as a table of pandas or polars, whichever is installed.

    to_pandas(islice(connect().stream("binance"), 1000))

One row a tick; the columns are the members of :class:`finstream_client.Tick`. Times become timestamps in UTC to the
microsecond. Decimals stay exact, unless ``floats=True``: then they are 64-bit floats, as numerical code wants them.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from finstream_client.messages import Tick

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["to_pandas", "to_polars"]

_TIMES: Final = ("ts_event", "ts_recv")
_DECIMALS: Final = ("price", "volume", "bid_price", "bid_volume", "ask_price", "ask_volume")
_POLARS_DIGITS: Final = 38
_COLUMNS: Final = (
    *_TIMES, "asset", "seq", "symbol", "exchange", *_DECIMALS, "side", "trade_id", "event_id", "via", "quality", "conflated",
    "simulated",
)  # fmt: skip


def to_pandas(ticks: Iterable[object], *, floats: bool = False) -> pd.DataFrame:
    """Other items among ``ticks`` (control messages, notices) are left out. Exact decimals are a column of objects.

    Raises:
      ImportError: pandas is not installed.
    """
    import pandas as pd

    columns = _columns(ticks, floats)
    # Named, as pandas would guess other types where a column has no values, or where there are no rows.
    types: dict[str, str] = dict.fromkeys(_COLUMNS, "str") | {
        "seq": "int64", "conflated": "int64", "simulated": "bool",
        **dict.fromkeys(_TIMES, "datetime64[us, UTC]"), **dict.fromkeys(_DECIMALS, "float64" if floats else "object"),
    }  # fmt: skip
    return pd.DataFrame({name: pd.Series(columns[name], dtype=types[name]) for name in _COLUMNS})


def to_polars(ticks: Iterable[object], *, floats: bool = False) -> pl.DataFrame:
    """As :func:`to_pandas`; exact decimals are of polars' type Decimal, with as many places as the finest value of the
    column has.

    Raises:
      ImportError: polars is not installed.
      ValueError: The values of a column together need more than the 38 digits that polars' Decimal has; ``floats=True``
        takes them.
    """
    import polars as pl

    columns = _columns(ticks, floats)
    types: dict[str, Any] = dict.fromkeys(_COLUMNS, pl.String) | {
        "seq": pl.Int64, "conflated": pl.Int64, "simulated": pl.Boolean,
        **dict.fromkeys(_TIMES, pl.Datetime("us", "UTC")),
    }  # fmt: skip
    for name in _DECIMALS:
        types[name] = pl.Float64 if floats else pl.Decimal(_POLARS_DIGITS, _places(name, columns[name]))
    return pl.DataFrame({name: pl.Series(name, columns[name], dtype=types[name]) for name in _COLUMNS})


def _columns(ticks: Iterable[object], floats: bool) -> dict[str, list[Any]]:
    rows = [tick for tick in ticks if isinstance(tick, Tick)]
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
    for name in ("trade_id", "event_id"):
        columns[name] = [None if one is None else str(one) for one in columns[name]]
    if floats:
        for name in _DECIMALS:
            columns[name] = [None if value is None else float(value) for value in columns[name]]
    return columns


def _places(name: str, values: Iterable[Decimal | None]) -> int:
    """Digits after the point. polars itself makes null of what does not fit, without a word."""
    finite = [value for value in values if value is not None and value.is_finite()]
    places = max((0, *(-int(value.as_tuple().exponent) for value in finite)))
    digits = max((0, *(value.adjusted() + 1 for value in finite)))
    if digits + places > _POLARS_DIGITS:
        raise ValueError(
            f"{name}: {digits} digits before the point and {places} after it do not fit into the {_POLARS_DIGITS} of "
            "polars' Decimal: pass floats=True, or use to_pandas"
        )
    return places
