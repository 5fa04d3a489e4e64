"""What Nasdaq's market-info API answers, read with suspicion: it is not documented, and HTTP 200 does not mean success.

A reply counts when its own code is 200, it has data, and the data name a status that we know. The times of the session in it are
a bonus: those of early closes are found nowhere else. They are wall-clock times of New York, and those that cannot be read are
left out.
"""

from __future__ import annotations

import datetime
import re

import msgspec

from finstream.services.new_york import instant_us
from finstream.services.trading_days import Session
from finstream.vocabulary.errors import FinStreamError
from finstream.vocabulary.market import Phase

__all__ = ["MarketSilent", "Reading", "read_reply"]

_PHASES: dict[str, Phase] = {
    "open": "open", "closed": "closed", "premarket": "pre-market", "afterhours": "after-hours",
}  # fmt: skip
_DISPLAYED = re.compile(r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}) (\d{1,2}):(\d{2}) ([AP])M ET")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class MarketSilent(FinStreamError):  # noqa: N818 - an event, named as such
    """The market did not answer, or nothing that could be used. ``retry_after_s`` is what it asked for, if anything."""

    def __init__(self, why: str, *, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(why)


class Reading(msgspec.Struct, frozen=True):
    """What the market said of itself."""

    status: Phase
    session: Session | None
    """The one that it shows: today's, or the next one when today's is over or there is none today. None: it showed none."""


class _Code(msgspec.Struct):
    rCode: int = 0  # noqa: N815 - the market's names, here and below
    bCodeMessage: list[dict[str, object]] | None = None  # noqa: N815
    developerMessage: str | None = None  # noqa: N815


class _Data(msgspec.Struct):
    mrktStatus: str | None = None  # noqa: N815
    pmOpenRaw: str | None = None  # noqa: N815
    openRaw: str | None = None  # noqa: N815
    closeRaw: str | None = None  # noqa: N815
    ahCloseRaw: str | None = None  # noqa: N815
    preMarketOpeningTime: str | None = None  # noqa: N815
    marketOpeningTime: str | None = None  # noqa: N815
    marketClosingTime: str | None = None  # noqa: N815
    afterHoursMarketClosingTime: str | None = None  # noqa: N815


class _Reply(msgspec.Struct):
    data: _Data | None = None
    status: _Code = msgspec.field(default_factory=_Code)


_decoder = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes) -> Reading:
    """
    Raises:
      MarketSilent: it is not a successful reply; says why.
    """
    try:
        reply = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MarketSilent(f"not a reply of the market-info API: {error}") from None
    if reply.status.rCode != 200 or reply.data is None:
        raise MarketSilent(f"refused with its own code {reply.status.rCode}{_reasons(reply.status)}")
    word = re.sub("[^a-z]", "", (reply.data.mrktStatus or "").lower())
    if word not in _PHASES:
        raise MarketSilent(f"unknown market status {reply.data.mrktStatus!r}")
    return Reading(_PHASES[word], _session(reply.data))


def _reasons(code: _Code) -> str:
    told = [str(entry.get("errorMessage", entry)) for entry in code.bCodeMessage or []]
    if code.developerMessage:
        told.append(code.developerMessage)
    return f": {'; '.join(told)}"[:300] if told else ", and without data"


def _session(data: _Data) -> Session | None:
    walls = [
        _wall(data.pmOpenRaw, data.preMarketOpeningTime),
        _wall(data.openRaw, data.marketOpeningTime),
        _wall(data.closeRaw, data.marketClosingTime),
        _wall(data.ahCloseRaw, data.afterHoursMarketClosingTime),
    ]
    known = [wall for wall in walls if wall is not None]
    if len(known) != len(walls) or len({wall.date() for wall in known}) != 1 or sorted(set(known)) != known:
        return None
    pre_market_us, open_us, close_us, after_hours_end_us = map(instant_us, known)
    return Session(
        day=known[0].date(), pre_market_us=pre_market_us, open_us=open_us, close_us=close_us,
        after_hours_end_us=after_hours_end_us,
    )  # fmt: skip


def _wall(raw: str | None, displayed: str | None) -> datetime.datetime | None:
    """``2026-09-14T09:30:00``, else ``Sep 14, 2026 09:30 AM ET``, as a naive time of New York."""
    try:
        if raw is not None and (wall := datetime.datetime.fromisoformat(raw)).tzinfo is None:
            return wall
        found = _DISPLAYED.fullmatch(displayed or "")
        if found is None or found[1] not in _MONTHS or not 1 <= int(found[4]) <= 12:
            return None
        hour = int(found[4]) % 12 + (12 if found[6] == "P" else 0)
        return datetime.datetime(int(found[3]), _MONTHS.index(found[1]) + 1, int(found[2]), hour, int(found[5]))
    except ValueError:
        return None
