"""A stock market's status, decided: readings and clock times in, status and next question out. No input or output here.

Who is believed:

1. A simulation, as long as there is one. Nothing is asked then.
2. The market, as long as it answers.
3. When it has fallen silent, or is no longer asked, what it said last, until a change was due. The sessions that it has shown count
   for that day whatever the calendar says: early closes nobody knew of, and days on which it stays shut.
4. From then on, and before its first answer, the calendar.

It is asked every ``poll_open_s``; every ``poll_closed_s`` while both it and the calendar say that it is closed; a second after each
change that is due; and after a failure at pauses that grow from ``poll_open_s`` to what would be usual.
"""

from __future__ import annotations

import datetime

from finstream.services.market_reply import MarketSilent, Reading
from finstream.services.new_york import local
from finstream.services.trading_days import Session, TradingDays
from finstream.vocabulary.events import MarketStatus
from finstream.vocabulary.market import MarketSession, MarketView, Phase, Source
from finstream.vocabulary.settings import MarketSettings

__all__ = ["Market"]

_S = 1_000_000
_CHANGED_S = 1
"""So long after a change was due the market is asked whether it happened."""
_LONGEST_WAIT_S = 3600.0
"""However long it asks to be left alone for."""
_FAR_DAYS = 14
"""No market stays shut for longer; a session further away is a mistake."""


class Market:
    """Times are microseconds since the epoch, UTC; they may go back when the machine's clock is set.

    ``always_simulated``: the engine runs in ``mode: simulation``, where nothing is to be taken for real. ``asks`` is whether there
    is anybody to be asked.
    """

    name = "nasdaq"

    def __init__(self, days: TradingDays, settings: MarketSettings, *, always_simulated: bool, asks: bool) -> None:
        self.days = days
        self.settings = settings
        self.asks = asks
        self.disagreements = 0
        """How many answers in a row were not what the calendar says."""
        self._always_simulated = always_simulated
        self._simulated: Phase | None = None
        self._shown: dict[datetime.date, Session | None] = {}
        self._reading: Reading | None = None
        self._heard_us = 0
        self._asked_us: int | None = None
        self._failures = 0
        self._error: str | None = None
        self._not_before_us = 0
        self._told: tuple[Phase, Source, bool] | None = None
        self._since_us = 0

    # --- told from outside -------------------------------------------------------------------------------------------

    def heard(self, reading: Reading, now_us: int) -> None:
        """The market answered."""
        self._asked_us = self._heard_us = now_us
        self._failures, self._error, self._not_before_us = 0, None, 0
        self._reading = reading
        if reading.session is not None:
            self._note_shown(reading.session, reading.status, now_us)
        self.disagreements = self.disagreements + 1 if reading.status != self.planned(now_us) else 0

    def failed(self, why: MarketSilent, now_us: int) -> None:
        """The market did not answer."""
        self._asked_us = now_us
        self._failures += 1
        self._error = str(why)
        self._not_before_us = now_us + round(min(why.retry_after_s, _LONGEST_WAIT_S) * _S)

    def simulate(self, status: Phase | None) -> None:
        """Say this from now on; None: the truth again, which is asked for at once."""
        if status is None and self._simulated is not None:
            self._asked_us = None
        self._simulated = status

    def observe(self, now_us: int) -> MarketStatus | None:
        """What is to be told: the status, if it, its source or whether it is simulated is not what was told last."""
        status, source = self.status(now_us)
        now_told = (status, source, self._is_simulated)
        if now_told == self._told:
            return None
        previous, self._told = self._told, now_told
        if previous is None or previous[0] != status:
            self._since_us = now_us
        following = self._following(now_us)
        return MarketStatus(
            market=self.name, status=status, previous=None if previous is None else previous[0], source=source,
            simulated=self._is_simulated, since_us=self._since_us,
            next_status=following and following[1], next_change_us=following and following[0],
        )  # fmt: skip

    # --- decisions ---------------------------------------------------------------------------------------------------

    def status(self, now_us: int) -> tuple[Phase, Source]:
        """What holds, and who says so."""
        if self._simulated is not None:
            return self._simulated, "simulation"
        is_silent = self._failures > 0 or not self.asks
        if self._reading is not None and not (is_silent and self._change_was_due(self._heard_us, now_us)):
            return self._reading.status, "nasdaq"
        return self.planned(now_us), "calendar"

    def planned(self, at_us: int) -> Phase:
        """What it should be doing, by the calendar and by the sessions that it has shown."""
        session = self._session(local(at_us).date())
        phase: Phase = "closed"
        for begins_us, following in session.changes() if session is not None else ():
            if begins_us <= at_us:
                phase = following
        return phase

    def next_poll_us(self, now_us: int) -> int | None:
        """When it is to be asked next, perhaps in the past; None: not at all."""
        if self._simulated is not None or not self.asks:
            return None
        asked_us = self._asked_us
        if asked_us is None or asked_us > now_us:
            return now_us  # never asked; or the clock was set back, and it may be long until then
        quiet = self.status(now_us)[0] == self.planned(now_us) == "closed"
        usual_us = round((self.settings.poll_closed_s if quiet else self.settings.poll_open_s) * _S)
        wait_us = usual_us
        if self._failures:
            wait_us = min(usual_us, round(self.settings.poll_open_s * _S) << min(self._failures - 1, 20))
        due_us = asked_us + wait_us
        if following := self._next_change(asked_us - _CHANGED_S * _S):  # of one just before that second nobody may know yet
            due_us = min(due_us, following[0] + _CHANGED_S * _S)
        return max(due_us, self._not_before_us)

    def next_change_us(self, now_us: int) -> int | None:
        """When it should do something else next, whatever it says; None: not for weeks."""
        following = self._next_change(now_us)
        return None if following is None else following[0]

    def view(self, now_us: int) -> MarketView:
        """Everything there is to be known of it."""
        status, source = self.status(now_us)
        real = self._simulated is None
        following = self._following(now_us)
        today = local(now_us).date()
        session = self._session(today) if real else None
        reading = self._reading if real else None
        return MarketView(
            market=self.name,
            status=status,
            source=source,
            simulated=self._is_simulated,
            since_us=self._since_us,
            next_status=following and following[1],
            next_change_us=following and following[0],
            session=None if session is None else _described(session),
            holiday=self.days.holiday(today) if real and session is None else None,
            last_known=None if reading is None else reading.status,
            age_ms=None if reading is None else max(0, now_us - self._heard_us) // 1000,
            calendar=self.planned(now_us),
            polled=self.asks and real,
            error=self._error if real and self.asks else None,
            new_york=local(now_us).isoformat(timespec="seconds"),
        )

    # --- within ------------------------------------------------------------------------------------------------------

    @property
    def _is_simulated(self) -> bool:
        return self._always_simulated or self._simulated is not None

    def _session(self, day: datetime.date) -> Session | None:
        return self._shown[day] if day in self._shown else self.days.session(day)

    def _following(self, now_us: int) -> tuple[int, Phase] | None:
        return self._next_change(now_us) if self._simulated is None else None

    def _next_change(self, after_us: int) -> tuple[int, Phase] | None:
        first = local(after_us).date()
        for offset in range(_FAR_DAYS):
            session = self._session(first + datetime.timedelta(days=offset))
            for begins_us, phase in session.changes() if session is not None else ():
                if begins_us > after_us:
                    return begins_us, phase
        return None

    def _change_was_due(self, since_us: int, now_us: int) -> bool:
        following = self._next_change(since_us)
        return following is not None and following[0] <= now_us

    def _note_shown(self, session: Session, status: Phase, now_us: int) -> None:
        today = local(now_us).date()
        if not 0 <= (session.day - today).days <= _FAR_DAYS:
            return
        self._shown = {day: shown for day, shown in self._shown.items() if day >= today}
        for offset in range((session.day - today).days):
            day = today + datetime.timedelta(days=offset)
            # It shows a later session: there is none in between, nor today, unless today's is over.
            by_the_book = self.days.session(day)
            is_over = by_the_book is not None and by_the_book.after_hours_end_us <= now_us
            if status == "closed" and day not in self._shown and not is_over:
                self._shown[day] = None
        self._shown[session.day] = session


def _described(session: Session) -> MarketSession:
    return MarketSession(
        date=session.day.isoformat(), pre_market_us=session.pre_market_us, open_us=session.open_us,
        close_us=session.close_us, after_hours_end_us=session.after_hours_end_us, half_day=session.is_half_day,
    )  # fmt: skip
