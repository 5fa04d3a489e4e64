"""Scheduled restarts: ``restart_at`` of assets, and of the engine itself, in New York's time of day."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping

import trio

from finstream.services.logs import Logger
from finstream.services.new_york import clock_time, next_time_of_day_us
from finstream.services.ports import Clock, wall_clock_us
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.settings import Settings

__all__ = ["ENGINE", "RestartTimes", "Timetable"]

ENGINE = ""
"""Stands for the engine where else an asset's name stands; no asset has it."""

_LATE_US = 600 * 1_000_000
"""A machine that slept through the time does not restart whatever it woke up to."""
_EARLY_US = 60 * 1_000_000
"""Whoever has just been restarted is not restarted again because the clock was set back a little."""
_FAR_US = 26 * 3600 * 1_000_000
"""No next turn is further away, also on the day that has an hour more; what is, was reckoned before the clock was set back."""
_LOOK_S = 30.0
"""The wall clock may be set, and the machine may sleep: it is looked at so often."""


class Timetable:
    """When what is due next, decided. Times are microseconds since the epoch, UTC."""

    def __init__(self) -> None:
        self._times: dict[str, datetime.time] = {}
        self._due_us: dict[str, int] = {}

    def apply(self, times: Mapping[str, datetime.time], now_us: int) -> None:
        """These are the times of day now. What has kept its time keeps its next turn."""
        due_us = {}
        for name, time in times.items():
            keeps = self._times.get(name) == time
            due_us[name] = self._due_us[name] if keeps else next_time_of_day_us(time, now_us + _EARLY_US)
        self._times, self._due_us = dict(times), due_us

    def next_us(self) -> int | None:
        """None: nothing is due, ever."""
        return min(self._due_us.values(), default=None)

    def take_due(self, now_us: int) -> tuple[list[str], list[str]]:
        """Whose turn it is, the engine last, and whose turn was missed by far. Each gets its next one."""
        reached = [name for name, due_us in self._due_us.items() if due_us <= now_us]
        missed = [name for name in reached if now_us - self._due_us[name] > _LATE_US]
        far = [name for name, due_us in self._due_us.items() if due_us - now_us > _FAR_US]
        for name in [*reached, *far]:
            self._due_us[name] = next_time_of_day_us(self._times[name], now_us + _EARLY_US)
        return sorted((name for name in reached if name not in missed), reverse=True), missed


class RestartTimes:
    """Restarts what is due: assets by ``restart_asset(name)``, a plain call; the engine by ``reboot(origin)``, which may refuse."""

    def __init__(
        self,
        settings: Settings,
        *,
        restart_asset: Callable[[str], None],
        reboot: Callable[[str], Awaitable[None]],
        logger: Logger,
        wall_us: Clock = wall_clock_us,
    ) -> None:
        self._timetable = Timetable()
        self._restart_asset = restart_asset
        self._reboot = reboot
        self._logger = logger
        self._wall_us = wall_us
        self._changed = trio.Event()
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """A changed configuration takes effect."""
        texts = {name: asset.restart_at for name, asset in settings.assets.items()} | {ENGINE: settings.restart_at}
        times = {name: clock_time(text) for name, text in texts.items() if text is not None}
        self._timetable.apply(times, self._wall_us())
        self._changed.set()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Restart what is due until cancelled."""
        while True:
            changed, next_us = self._changed, self._timetable.next_us()
            wait_s = _LOOK_S if next_us is None else min((next_us - self._wall_us()) / 1e6, _LOOK_S)
            with trio.move_on_after(max(0.0, wait_s)):
                await changed.wait()
            due, missed = self._timetable.take_due(self._wall_us())
            for name in missed:
                self._logger.warning("a scheduled restart was missed: the machine slept, or its clock was set", asset=name)
            for name in due:
                await self._restart(name)

    async def _restart(self, name: str) -> None:
        if name != ENGINE:
            self._restart_asset(name)
            return
        self._logger.info("scheduled restart of the engine")
        try:
            await self._reboot("restart_at")
        except (ConfigError, RequestError) as error:
            # Told in the log in full by the reboot itself; the engine goes on as it was, until tomorrow.
            self._logger.error("the engine was not restarted", error=str(error))
