"""The days on which New York's exchanges trade: Nasdaq keeps the holidays and half days of the New York Stock Exchange.

Which days those are, the library ``holidays`` knows. It brings the holidays of the whole world, 18 MB of them, so it is asked
by a process of its own: ``python -m finstream.services.trading_days 2026 2027`` prints the exceptions of those years as JSON, and
:class:`TradingDays` is made of them. Everything here is calculated in New York time.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator

import msgspec

from finstream.services.new_york import instant_us, local
from finstream.vocabulary.market import Phase

__all__ = ["Exceptions", "Session", "TradingDays"]

_PRE_MARKET = datetime.time(4, 0)
_OPEN = datetime.time(9, 30)
_CLOSE, _AFTER_HOURS_END = datetime.time(16, 0), datetime.time(20, 0)
_HALF_DAY_CLOSE, _HALF_DAY_AFTER_HOURS_END = datetime.time(13, 0), datetime.time(17, 0)
_SATURDAY = 5


class Exceptions(msgspec.Struct, frozen=True):
    """What some years have besides weekends, by date, each with its name."""

    years: list[int]
    holidays: dict[datetime.date, str] = {}
    half_days: dict[datetime.date, str] = {}


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One day of trading. Times are microseconds since the epoch, UTC, in ascending order."""

    day: datetime.date
    pre_market_us: int
    open_us: int
    close_us: int
    after_hours_end_us: int

    def changes(self) -> Iterator[tuple[int, Phase]]:
        """When the market becomes what, in order."""
        yield self.pre_market_us, "pre-market"
        yield self.open_us, "open"
        yield self.close_us, "after-hours"
        yield self.after_hours_end_us, "closed"

    @property
    def is_half_day(self) -> bool:
        return self.close_us < _at(self.day, _CLOSE)


class TradingDays:
    """Sessions by the book. Without exceptions, or in years that these do not cover, only weekends have none."""

    def __init__(self, exceptions: Exceptions | None = None) -> None:
        self._exceptions = exceptions or Exceptions([])

    def covers(self, year: int) -> bool:
        """Whether the holidays of that year are known."""
        return year in self._exceptions.years

    def holiday(self, day: datetime.date) -> str | None:
        return self._exceptions.holidays.get(day)

    def session(self, day: datetime.date) -> Session | None:
        """None: there is no trading that day."""
        if day.weekday() >= _SATURDAY or day in self._exceptions.holidays:
            return None
        is_half = day in self._exceptions.half_days
        return Session(
            day=day,
            pre_market_us=_at(day, _PRE_MARKET),
            open_us=_at(day, _OPEN),
            close_us=_at(day, _HALF_DAY_CLOSE if is_half else _CLOSE),
            after_hours_end_us=_at(day, _HALF_DAY_AFTER_HOURS_END if is_half else _AFTER_HOURS_END),
        )


def _at(day: datetime.date, time: datetime.time) -> int:
    return instant_us(datetime.datetime.combine(day, time))


def years_around(at_us: int) -> list[int]:
    """Those whose exceptions are needed at an instant, and for long after it."""
    year = local(at_us).year
    return list(range(year - 1, year + 4))


def look_up(years: list[int]) -> Exceptions:
    """Ask the library. Slow the first time, and keeps its memory."""
    from holidays.constants import HALF_DAY, PUBLIC
    from holidays.financial.ny_stock_exchange import NewYorkStockExchange

    closed = NewYorkStockExchange(years=years, categories=PUBLIC)  # type: ignore[no-untyped-call]
    half = NewYorkStockExchange(years=years, categories=HALF_DAY)  # type: ignore[no-untyped-call]
    return Exceptions(years, dict(sorted(closed.items())), dict(sorted(half.items())))


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(look_up([int(year) for year in sys.argv[1:]])).decode())
