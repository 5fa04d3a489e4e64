"""Nasdaq's replies: those that were recorded, and everything that may be wrong with one."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from finstream.services.market_reply import MarketSilent, read_reply

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "nasdaq"
DATA = {
    "country": "U.S.", "marketIndicator": "Market Closed", "uiMarketIndicator": "Market Closed",
    "marketCountDown": "Market Opens in 12H 16M", "preMarketOpeningTime": "Sep 14, 2026 04:00 AM ET",
    "preMarketClosingTime": "Sep 14, 2026 09:30 AM ET", "marketOpeningTime": "Sep 14, 2026 09:30 AM ET",
    "marketClosingTime": "Sep 14, 2026 04:00 PM ET", "afterHoursMarketOpeningTime": "Sep 14, 2026 04:00 PM ET",
    "afterHoursMarketClosingTime": "Sep 14, 2026 08:00 PM ET", "previousTradeDate": "Sep 11, 2026",
    "nextTradeDate": "Sep 15, 2026", "isBusinessDay": True, "mrktStatus": "Closed", "mrktCountDown": "Opens in 12H 16M",
    "pmOpenRaw": "2026-09-14T04:00:00", "ahCloseRaw": "2026-09-14T20:00:00", "openRaw": "2026-09-14T09:30:00",
    "closeRaw": "2026-09-14T16:00:00",
}  # fmt: skip
RAW = ("pmOpenRaw", "openRaw", "closeRaw", "ahCloseRaw")


def reply(changes: dict[str, Any] | None = None, *, without: tuple[str, ...] = (), **status: Any) -> bytes:
    data = {name: value for name, value in (DATA | (changes or {})).items() if name not in without}
    return json.dumps(
        {"data": data, "message": None, "status": {"rCode": 200, "bCodeMessage": None, "developerMessage": None} | status}
    ).encode()


def times(body: bytes) -> list[str]:
    session = read_reply(body).session
    assert session is not None
    return [f"{datetime.datetime.fromtimestamp(at / 1e6, datetime.UTC):%m-%d %H:%M}" for at, _phase in session.changes()]


SUMMER_DAY = ["09-14 08:00", "09-14 13:30", "09-14 20:00", "09-15 00:00"]


def test_a_reply_says_the_status_and_the_times_of_the_session_in_new_york() -> None:
    assert read_reply(reply()).status == "closed"
    assert times(reply()) == SUMMER_DAY


def test_the_displayed_times_stand_in_for_raw_ones_that_are_missing() -> None:
    assert times(reply(without=RAW)) == SUMMER_DAY
    assert times(reply({"closeRaw": "2026-09-14T16:00:00Z"})) == SUMMER_DAY  # an offset would be something new: not believed
    noon = {"marketClosingTime": "Sep 14, 2026 12:15 PM ET", "preMarketOpeningTime": "Sep 14, 2026 12:30 AM ET"}
    assert times(reply(noon, without=RAW)) == ["09-14 04:30", "09-14 13:30", "09-14 16:15", "09-15 00:00"]


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Open", "open"), ("Closed", "closed"), ("Pre-Market", "pre-market"), ("Pre Market", "pre-market"),
        ("After-Hours", "after-hours"), ("AFTER HOURS", "after-hours"), ("premarket", "pre-market"),
    ],
)  # fmt: skip
def test_the_words_for_a_status(word: str, status: str) -> None:
    assert read_reply(reply({"mrktStatus": word})).status == status


@pytest.mark.parametrize(
    "changes",
    [
        {"closeRaw": "soon", "marketClosingTime": "soon"},
        {"closeRaw": None, "marketClosingTime": None},
        {"closeRaw": None, "marketClosingTime": "Sep 31, 2026 04:00 PM ET"},
        {"closeRaw": None, "marketClosingTime": "Xyz 14, 2026 04:00 PM ET"},
        {"closeRaw": None, "marketClosingTime": "Sep 14, 2026 13:00 PM ET"},
        {"closeRaw": "2026-09-15T16:00:00"},  # of two days
        {"closeRaw": "2026-09-14T09:00:00"},  # out of order
        {"openRaw": "2026-09-14T04:00:00"},  # of no length
    ],
)
def test_times_that_cannot_be_right_are_left_out(changes: dict[str, Any]) -> None:
    reading = read_reply(reply(changes))
    assert (reading.status, reading.session) == ("closed", None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (reply(rCode=400, bCodeMessage=[{"code": 1001, "errorMessage": "Symbol not exists."}]), "400: Symbol not exists."),
        (b'{"data":null,"status":{"rCode":200,"bCodeMessage":[{"code":3004,"errorMessage":"Error while calling vendor"}]}}',
         "200: Error while calling vendor"),
        (b'{"data":null,"message":null,"status":{"rCode":200}}', "200, and without data"),
        (b'{"data":{"mrktStatus":"Open"}}', "its own code 0"),
        (reply({"mrktStatus": "Halted"}), "unknown market status 'Halted'"),
        (reply({"mrktStatus": None}), "unknown market status None"),
        (reply({"mrktStatus": 1}), "Expected `str | null`, got `int`"),
        (b"<html>Access Denied</html>", "not a reply"),
        (b"", "not a reply"),
        (b"[]", "not a reply"),
        (b'{"data":"\xff"}', "not a reply"),
    ],
)  # fmt: skip
def test_what_is_no_success_says_why(body: bytes, why: str) -> None:
    with pytest.raises(MarketSilent) as silent:
        read_reply(body)
    assert why in str(silent.value)


@pytest.mark.recordings
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies (../shared/fixtures) are not here")
def test_the_recorded_replies() -> None:
    bodies = [line for file in sorted(RECORDED.glob("*.jsonl")) for line in file.read_bytes().splitlines()]
    good = [read_reply(body) for body in bodies if b'"rCode":200' in body]
    assert [(reading.status, str(reading.session and reading.session.day)) for reading in good] == [
        ("closed", "2026-09-14"), ("closed", "2026-07-07"),
    ]  # fmt: skip
    for body in bodies:
        if b'"rCode":200' not in body:
            with pytest.raises(MarketSilent, match=r"Symbol not exists\."):
                read_reply(body)
