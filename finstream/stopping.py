"""How an engine is told to end, and what makes sure that it does."""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio

from finstream import endings
from finstream.services.logs import Logger

__all__ = ["Stop"]

_LAST_RESORT_S = 30.0
"""So long after the longest stop ladder the engine no longer waits for itself."""


class Stop:
    """The wish that the engine ends, and why: ``engine_stopping`` or ``engine_restarting``.

    ``leave_at_once(exit_code)`` ends the process where it stands, and does not return.
    """

    def __init__(self, log: Logger, leave_at_once: Callable[[int], None]) -> None:
        self.asked = trio.Event()
        self.reason = ""
        self._log = log
        self._leave_at_once = leave_at_once

    def ask(self, reason: str, origin: str) -> bool:
        """Whether that is news: a stop overrules a restart, nothing overrules a stop."""
        if self.reason in {"engine_stopping", reason}:
            return False
        self._log.info("stopping", reason=reason, origin=origin)
        self.reason = reason
        self.asked.set()
        return True

    async def heed_signals(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The first one asks; at the second the engine leaves at once. The signals are ours until this is cancelled."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                if not self.ask("engine_stopping", signal.Signals(number).name):
                    self._log.warning("told to stop a second time: leaving at once")
                    self._leave_at_once(endings.TOLD_TWICE)

    async def give_up_waiting(self, longest_ladder_s: Callable[[], float]) -> None:
        """Leave at once if the engine is still there long after it was asked to end."""
        await self.asked.wait()
        await trio.sleep(longest_ladder_s() + _LAST_RESORT_S)
        self._log.error("the engine could not come to an end in time: leaving at once")
        self._leave_at_once(endings.INTERNAL)
