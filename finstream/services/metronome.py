"""The metronome: asks the market for its status when it is time to, and tells of every change.

What is asked when, and who is believed, :class:`finstream.services.market.Market` decides; here is what takes time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable

import msgspec
import trio

from finstream.services.logs import Logger
from finstream.services.market import Market
from finstream.services.market_client import NASDAQ, open_client
from finstream.services.market_reply import MarketSilent
from finstream.services.new_york import local
from finstream.services.ports import Clock, wall_clock_us
from finstream.services.trading_days import Exceptions, TradingDays, years_around
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import MarketStatus
from finstream.vocabulary.market import MarketView, Phase
from finstream.vocabulary.settings import Settings

__all__ = ["Metronome", "ask_library"]

_LOOK_S = 30.0
"""The wall clock may be set, and the machine may have slept: it is looked at so often."""
_LIBRARY_S = 30.0
_RETRY_S, _LONGEST_RETRY_S = 60.0, 3600.0
"""Pauses between questions for holidays that failed; each is twice as long as the one before."""
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "HOME", "VIRTUAL_ENV")
_DISAGREEMENTS = 3
"""So many in a row are worth a warning: one or two are a change that one of the two tells late."""


class Metronome:
    """``told`` hears of every change, by a plain call that must neither block nor raise. ``look_up`` asks for the days without
    trading of some years; it may take its time, and raises OSError when it cannot be done.

    Use it from the Trio thread only.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        told: Callable[[MarketStatus], None],
        logger: Logger,
        look_up: Callable[[list[int]], Awaitable[Exceptions]] | None = None,
        wall_us: Clock = wall_clock_us,
    ) -> None:
        self._mode = settings.mode
        self._url = self._whom_to_ask(settings)
        self._market = Market(
            TradingDays(), settings.market, always_simulated=self._mode == "simulation", asks=self._url is not None
        )
        self._market.simulate(settings.market.simulate)
        self._told = told
        self._logger = logger
        self._look_up = look_up or ask_library
        self._wall_us = wall_us
        self.phase: Phase | None = None
        """What the market is doing, as it was told last; None: nothing was told yet."""
        self._knows_days = trio.Event()
        self._changed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell and ask until cancelled."""
        task_status.started()
        has_learnt = await self._learn_days()
        self._tell()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_the_clock)
            nursery.start_soon(self._go_on_learning, has_learnt)
            while True:
                url, changed = self._url, self._changed
                if url is None:
                    await changed.wait()
                else:
                    await self._poll(url)

    async def view(self) -> MarketView:
        """The market now; waits for the calendar in the first moments of the engine."""
        await self._knows_days.wait()
        return self._market.view(self._wall_us())

    def view_now(self) -> MarketView | None:
        """The same without waiting; None in the first moments of the engine."""
        return self._market.view(self._wall_us()) if self._knows_days.is_set() else None

    def simulate(self, status: Phase | None) -> None:
        """Make a status up, and ask nobody; None: the truth again.

        Raises:
          RequestError: ``wrong-state``: this is production.
        """
        if self._mode == "production":
            detail = "in mode: production the market's status is the market's own; run with mode: simulation to simulate it"
            raise RequestError("wrong-state", detail)
        self._market.simulate(status)
        self._wake()

    def apply(self, settings: Settings) -> None:
        """A changed configuration takes effect. A simulation goes on unless it is the configured one that changed."""
        before = self._market.settings.simulate
        self._market.settings = settings.market
        if settings.market.simulate != before:
            self._market.simulate(settings.market.simulate)
        self._url = self._whom_to_ask(settings)
        self._market.asks = self._url is not None
        self._wake()

    # --- within ------------------------------------------------------------------------------------------------------

    def _whom_to_ask(self, settings: Settings) -> str | None:
        """The mode is the engine's own, whatever the file says by now."""
        if settings.market.url is not None or self._mode != "production":
            return settings.market.url
        return NASDAQ if any(asset.market == "nasdaq" for asset in settings.assets.values()) else None

    def _wake(self) -> None:
        if self._knows_days.is_set():
            self._tell()
        self._changed.set()
        self._changed = trio.Event()

    def _tell(self) -> None:
        event = self._market.observe(self._wall_us())
        if event is None:
            return
        self._logger.info(
            "market status", market=event.market, status=event.status, previous=event.previous, source=event.source,
            simulated=event.simulated,
        )
        self.phase = event.status
        self._told(event)

    async def _watch_the_clock(self) -> None:
        """Changes come by themselves, too: what was due while the market is silent."""
        while True:
            changed, now_us = self._changed, self._wall_us()
            with trio.move_on_after(_sleep_s(self._market.next_change_us(now_us), now_us)):
                await changed.wait()
            self._tell()

    async def _poll(self, url: str) -> None:
        """Ask at this address for as long as it is the right one."""
        async with open_client(url) as client:
            while self._url == url:
                now_us, changed = self._wall_us(), self._changed
                due_us = self._market.next_poll_us(now_us)
                if due_us is None or due_us > now_us:
                    with trio.move_on_after(_sleep_s(due_us, now_us)):
                        await changed.wait()
                    continue
                try:
                    reading = await client.ask()
                except MarketSilent as silence:
                    self._failed(silence)
                else:
                    self._market.heard(reading, self._wall_us())
                    if self._market.disagreements == _DISAGREEMENTS:
                        self._logger.warning("the market and the calendar disagree", status=reading.status)
                self._wake()

    def _failed(self, silence: MarketSilent) -> None:
        first = self._market.view(self._wall_us()).error is None
        self._market.failed(silence, self._wall_us())
        log = self._logger.warning if first else self._logger.debug
        log("the market does not answer", url=self._url, error=str(silence))

    async def _learn_days(self, *, is_first: bool = True) -> bool:
        """Whether it could be done. Without, what was known before holds."""
        try:
            self._market.days = TradingDays(await self._look_up(years_around(self._wall_us())))
        except OSError as error:
            # Rather one day a month wrong than never knowing anything.
            log = self._logger.error if is_first else self._logger.debug
            log("no calendar of holidays: only weekends are known to be closed; it is tried again", error=str(error))
            return False
        finally:
            self._knows_days.set()
        return True

    async def _go_on_learning(self, has_learnt: bool) -> None:
        failures = 0 if has_learnt else 1
        while True:
            await trio.sleep(min(_RETRY_S * 2 ** min(failures - 1, 10), _LONGEST_RETRY_S) if failures else _LOOK_S)
            if self._market.days.covers(local(self._wall_us()).year + 1):
                continue
            if not await self._learn_days(is_first=failures == 0):
                failures += 1
            elif failures:
                failures = 0
                self._logger.info("the calendar of holidays is known again")
                self._wake()


def _sleep_s(until_us: int | None, now_us: int) -> float:
    return _LOOK_S if until_us is None else min((until_us - now_us) / 1e6, _LOOK_S)


async def ask_library(years: list[int]) -> Exceptions:
    """What the calendar library knows of these years, by a process of its own.

    Raises:
      OSError: it cannot be asked.
    """
    # -P: what lies in our working directory is none of its modules. Of our environment it gets what it takes to run.
    command = [sys.executable, "-P", "-m", "finstream.services.trading_days", *map(str, years)]
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    with trio.move_on_after(_LIBRARY_S):
        done = await trio.run_process(
            command, env=environment, capture_stdout=True, capture_stderr=True, check=False, start_new_session=True
        )
        try:
            return msgspec.json.decode(done.stdout, type=Exceptions)
        except msgspec.DecodeError:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise OSError(f"exit code {done.returncode}: {''.join(said)}") from None
    raise OSError(f"no answer within {_LIBRARY_S:g} s")
