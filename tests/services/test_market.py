"""Who is believed, and when the market is asked: days lived through by a clock that a test sets."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest

from finstream.services.market import Market
from finstream.services.market_reply import MarketSilent, Reading
from finstream.services.new_york import instant_us
from finstream.services.trading_days import Session, TradingDays, look_up
from finstream.vocabulary.market import Phase
from finstream.vocabulary.settings import MarketSettings

DAYS = TradingDays(look_up([2025, 2026, 2027]))
S = 1_000_000
MINUTE, HOUR = 60 * S, 3600 * S
SILENCE = MarketSilent("HTTP 503")


@pytest.fixture(params=["UTC", "Asia/Tokyo", "Pacific/Kiritimati", "America/Los_Angeles"], autouse=True)
def machine_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone this machine believes to be in."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(wall: str) -> int:
    """Microseconds since the epoch at a time in New York."""
    return instant_us(datetime.datetime.fromisoformat(wall))


def market(**options: Any) -> Market:
    return Market(DAYS, MarketSettings(), **{"always_simulated": False, "asks": True} | options)


def session(day: str) -> Session:
    found = DAYS.session(datetime.date.fromisoformat(day))
    assert found is not None
    return found


def heard(it: Market, status: Phase, when: str, shown: Session | None = None) -> None:
    it.heard(Reading(status, shown), at(when))


# --- by the calendar -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wall", "phase"),
    [
        ("2026-06-01 03:59", "closed"), ("2026-06-01 04:00", "pre-market"), ("2026-06-01 09:29", "pre-market"),
        ("2026-06-01 09:30", "open"), ("2026-06-01 15:59", "open"), ("2026-06-01 16:00", "after-hours"),
        ("2026-06-01 19:59", "after-hours"), ("2026-06-01 20:00", "closed"), ("2026-06-01 23:59", "closed"),
        ("2026-11-27 12:59", "open"), ("2026-11-27 13:00", "after-hours"), ("2026-11-27 17:00", "closed"),  # half day
        ("2026-11-26 12:00", "closed"),  # Thanksgiving
        ("2026-11-28 12:00", "closed"),  # Saturday
        ("2026-03-09 09:29", "pre-market"), ("2026-03-09 09:30", "open"),  # summer time has just begun
        ("2026-11-02 09:29", "pre-market"), ("2026-11-02 09:30", "open"),  # and ended
    ],
)  # fmt: skip
def test_before_the_first_answer_the_calendar_holds(wall: str, phase: str) -> None:
    assert market().status(at(wall)) == (phase, "calendar")


@pytest.mark.parametrize(
    ("wall", "phase", "when"),
    [
        ("2026-06-01 10:00", "after-hours", "2026-06-01 16:00"),
        ("2026-06-05 21:00", "pre-market", "2026-06-08 04:00"),  # over the weekend
        ("2026-03-06 21:00", "pre-market", "2026-03-09 04:00"),  # and over the beginning of summer time
        ("2026-10-30 21:00", "pre-market", "2026-11-02 04:00"),
        ("2026-04-02 20:00", "pre-market", "2026-04-06 04:00"),  # Good Friday, and the weekend
        ("2026-11-27 10:00", "after-hours", "2026-11-27 13:00"),
    ],
)
def test_what_comes_next(wall: str, phase: str, when: str) -> None:
    view = market().view(at(wall))
    assert (view.next_status, view.next_change_us) == (phase, at(when))


# --- when it is asked ----------------------------------------------------------------------------------------------------


def polls(it: Market, since: str, until: str, answer: Any) -> list[str]:
    """The times at which it asks; ``answer(now)`` is a status, or None for silence."""
    now, asked = at(since), []
    while (due := it.next_poll_us(now)) is not None and max(due, now) < at(until):
        now = max(due, now)
        moment = datetime.datetime.fromtimestamp(now / S, datetime.UTC)
        asked.append(f"{moment:%H:%M:%S}")
        status = answer(now)
        if status is None:
            it.failed(SILENCE, now)
        else:
            it.heard(Reading(status, None), now)
    return asked


def test_every_minute_while_there_is_trading_and_every_hour_while_there_is_none() -> None:
    it = market()
    in_session = polls(it, "2026-06-01 09:00", "2026-06-01 10:00", it.planned)
    assert in_session[:3] == ["13:00:00", "13:01:00", "13:02:00"]
    assert len(in_session) == 61
    assert in_session[30:33] == ["13:30:00", "13:30:01", "13:31:01"]
    it = market()
    assert polls(it, "2026-06-06 01:30", "2026-06-06 05:00", it.planned) == ["05:30:00", "06:30:00", "07:30:00", "08:30:00"]


def test_right_after_each_change_that_is_due() -> None:
    it = market()
    asked = polls(it, "2026-06-01 01:00", "2026-06-01 23:00", it.planned)
    for change in ("08:00:01", "13:30:01", "20:00:01", "00:00:01"):
        assert change in asked


def test_a_change_that_the_market_tells_late_is_waited_for_every_minute() -> None:
    it = market()
    asked = polls(it, "2026-06-01 03:30", "2026-06-01 04:04", lambda _now: "closed")
    assert asked == ["07:30:00", "08:00:01", "08:01:01", "08:02:01", "08:03:01"]
    assert it.status(at("2026-06-01 04:03")) == ("closed", "nasdaq")


def test_failures_are_tried_again_at_growing_pauses_while_it_is_closed() -> None:
    asked = polls(market(), "2026-06-06 00:00", "2026-06-06 05:00", lambda _now: None)
    assert asked == ["04:00:00", "04:01:00", "04:03:00", "04:07:00", "04:15:00", "04:31:00", "05:03:00", "06:03:00",
                     "07:03:00", "08:03:00"]  # fmt: skip


def test_failures_while_it_is_open_are_tried_again_every_minute() -> None:
    asked = polls(market(), "2026-06-01 10:00", "2026-06-01 10:05", lambda _now: None)
    assert asked == ["14:00:00", "14:01:00", "14:02:00", "14:03:00", "14:04:00"]


def test_a_market_that_wants_to_be_left_alone_is_left_alone_but_not_for_ever() -> None:
    it, now = market(), at("2026-06-01 10:00")
    it.failed(MarketSilent("HTTP 429", retry_after_s=600), now)
    assert it.next_poll_us(now) == now + 600 * S
    it.failed(MarketSilent("HTTP 429", retry_after_s=1e9), now)
    assert it.next_poll_us(now) == now + HOUR
    heard(it, "open", "2026-06-01 10:00")
    assert it.next_poll_us(now) == now + MINUTE


def test_a_clock_that_was_set_back_does_not_silence_it() -> None:
    it = market()
    heard(it, "open", "2026-06-01 10:00")
    assert it.next_poll_us(at("2026-05-31 10:00")) == at("2026-05-31 10:00")


def test_nobody_is_asked_where_there_is_nobody() -> None:
    it = market(asks=False)
    assert it.next_poll_us(at("2026-06-01 10:00")) is None
    view = it.view(at("2026-06-01 10:00"))
    assert (view.status, view.source, view.polled, view.error) == ("open", "calendar", False, None)


# --- who is believed -----------------------------------------------------------------------------------------------------


def test_the_market_knows_better_than_the_calendar() -> None:
    it = market()
    heard(it, "closed", "2026-06-01 10:00")
    view = it.view(at("2026-06-01 10:00"))
    assert (view.status, view.source, view.calendar, view.age_ms) == ("closed", "nasdaq", "open", 0)
    assert it.disagreements == 1
    heard(it, "closed", "2026-06-01 10:01")
    assert it.disagreements == 2
    heard(it, "open", "2026-06-01 10:02")
    assert it.disagreements == 0


def test_what_it_said_last_is_kept_with_its_age_until_a_change_was_due() -> None:
    it = market()
    heard(it, "open", "2026-06-01 10:00")
    for minute in (1, 2, 3):
        it.failed(SILENCE, at(f"2026-06-01 10:0{minute}"))
    view = it.view(at("2026-06-01 10:03"))
    assert (view.status, view.source, view.age_ms, view.error) == ("open", "nasdaq", 180_000, "HTTP 503")
    view = it.view(at("2026-06-01 15:59"))
    assert (view.status, view.source, view.last_known) == ("open", "nasdaq", "open")
    view = it.view(at("2026-06-01 16:00"))
    assert (view.status, view.source, view.last_known) == ("after-hours", "calendar", "open")
    assert view.age_ms == 6 * 3600 * 1000
    heard(it, "after-hours", "2026-06-01 16:01")
    view = it.view(at("2026-06-01 16:01"))
    assert (view.source, view.error, view.age_ms) == ("nasdaq", None, 0)


def test_what_it_said_before_it_was_no_longer_asked_does_not_hold_for_ever() -> None:
    """The last asset that follows it has left the configuration."""
    it = market()
    heard(it, "open", "2026-06-01 10:00")
    it.asks = False
    assert it.status(at("2026-06-01 15:59")) == ("open", "nasdaq")
    assert it.status(at("2026-06-01 16:00")) == ("after-hours", "calendar")
    assert it.status(at("2026-06-06 12:00")) == ("closed", "calendar")


def test_what_it_said_against_the_calendar_is_kept_too() -> None:
    it = market()
    heard(it, "closed", "2026-06-01 10:00")  # a halt, say
    it.failed(SILENCE, at("2026-06-01 10:01"))
    assert it.status(at("2026-06-01 12:00")) == ("closed", "nasdaq")


def test_an_early_close_that_only_the_market_knows_of_counts_while_it_is_silent() -> None:
    it, usual = market(), session("2026-06-01")
    early = Session(
        day=usual.day, pre_market_us=usual.pre_market_us, open_us=usual.open_us, close_us=at("2026-06-01 13:00"),
        after_hours_end_us=at("2026-06-01 17:00"),
    )  # fmt: skip
    heard(it, "open", "2026-06-01 10:00", early)
    it.failed(SILENCE, at("2026-06-01 10:01"))
    assert it.status(at("2026-06-01 12:59")) == ("open", "nasdaq")
    assert it.status(at("2026-06-01 13:00")) == ("after-hours", "calendar")
    assert it.status(at("2026-06-01 17:00")) == ("closed", "calendar")
    shown = it.view(at("2026-06-01 12:00")).session
    assert shown is not None
    assert (shown.date, shown.half_day, shown.close_us) == ("2026-06-01", True, at("2026-06-01 13:00"))
    assert it.status(at("2026-06-02 15:00")) == ("open", "calendar"), "only that day"


def test_a_day_on_which_it_stays_shut_although_the_calendar_does_not_know() -> None:
    it = market()
    heard(it, "closed", "2026-06-01 03:00", session("2026-06-02"))
    assert it.view(at("2026-06-01 03:00")).next_change_us == at("2026-06-02 04:00")
    it.failed(SILENCE, at("2026-06-01 10:00"))
    assert it.status(at("2026-06-01 11:00")) == ("closed", "nasdaq")
    assert it.status(at("2026-06-02 11:00")) == ("open", "calendar")


def test_the_next_session_shown_in_the_evening_does_not_erase_the_day() -> None:
    it = market()
    heard(it, "closed", "2026-06-05 20:30", session("2026-06-08"))  # Friday evening
    assert it.planned(at("2026-06-05 15:00")) == "open"
    heard(it, "closed", "2026-06-07 21:14", session("2026-06-08"))  # Sunday, as it was recorded
    assert it.view(at("2026-06-07 21:14")).next_change_us == at("2026-06-08 04:00")
    assert it.disagreements == 0


def test_a_session_that_is_far_off_or_past_is_a_mistake() -> None:
    it = market()
    for wrong in ("2026-05-29", "2026-07-01"):
        heard(it, "closed", "2026-06-01 03:00", session(wrong))
        assert it.view(at("2026-06-01 03:00")).next_change_us == at("2026-06-01 04:00")


# --- simulation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["open", "closed", "pre-market", "after-hours"])
def test_a_simulation_overrides_everything_and_says_so(status: Phase) -> None:
    it = market()
    heard(it, "open", "2026-06-01 10:00", session("2026-06-01"))
    it.simulate(status)
    for wall in ("2026-06-01 10:00", "2026-06-01 16:00", "2026-06-06 12:00"):
        assert it.next_poll_us(at(wall)) is None
        view = it.view(at(wall))
        assert (view.status, view.source, view.simulated, view.polled) == (status, "simulation", True, False)
        assert (view.last_known, view.age_ms, view.session, view.next_status) == (None, None, None, None)
    event = it.observe(at("2026-06-01 10:00"))
    assert event is not None
    assert (event.status, event.source, event.simulated, event.next_change_us) == (status, "simulation", True, None)


def test_after_a_simulation_the_market_is_asked_at_once() -> None:
    it = market()
    heard(it, "open", "2026-06-01 10:00")
    it.simulate("closed")
    heard(it, "open", "2026-06-01 10:00")  # an answer that was under way changes nothing
    assert it.status(at("2026-06-01 10:00")) == ("closed", "simulation")
    it.simulate(None)
    assert it.next_poll_us(at("2026-06-01 10:00")) == at("2026-06-01 10:00")
    assert it.view(at("2026-06-01 10:00")).simulated is False


def test_in_mode_simulation_everything_says_simulated() -> None:
    it = market(always_simulated=True)
    for step in (lambda: None, lambda: heard(it, "open", "2026-06-01 10:00"), lambda: it.simulate("closed"),
                 lambda: it.simulate(None)):  # fmt: skip
        step()
        assert it.view(at("2026-06-01 10:00")).simulated is True
        if (event := it.observe(at("2026-06-01 10:00"))) is not None:
            assert event.simulated is True


# --- what is told --------------------------------------------------------------------------------------------------------


def test_each_change_is_told_once() -> None:
    it = market()
    first = it.observe(at("2026-06-01 09:00"))
    assert first is not None
    assert (first.status, first.previous, first.source) == ("pre-market", None, "calendar")
    assert (first.next_status, first.next_change_us) == ("open", at("2026-06-01 09:30"))
    assert it.observe(at("2026-06-01 09:01")) is None
    heard(it, "pre-market", "2026-06-01 09:02")
    confirmed = it.observe(at("2026-06-01 09:02"))
    assert confirmed is not None
    assert (confirmed.status, confirmed.source) == ("pre-market", "nasdaq")
    assert confirmed.since_us == at("2026-06-01 09:00"), "the status is the same"
    it.failed(SILENCE, at("2026-06-01 09:03"))
    assert it.observe(at("2026-06-01 09:29")) is None
    opened = it.observe(at("2026-06-01 09:30"))
    assert opened is not None
    assert (opened.status, opened.previous, opened.source, opened.since_us) == (
        "open", "pre-market", "calendar", at("2026-06-01 09:30"),
    )  # fmt: skip
