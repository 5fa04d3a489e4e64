"""The memory guard: bounds what waits for all subscribers together.

Above the soft mark the pump itself gives up outboxes until the mark is kept again: the least important first, among equals
the one that has waited longest. What is decided here is the rest: who hears of it, that nobody new is let in above the hard
mark, and that the least important assets pause for as long as giving up did not help.
"""

from __future__ import annotations

import msgspec
import trio

from finstream.pump import MemoryMark, Pump
from finstream.services.logs import Logger
from finstream.services.ports import Holding, Publisher
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import MemoryPressure
from finstream.vocabulary.settings import Limits

__all__ = ["MemoryGuard", "MemoryStatistics"]

_STEP_S = 1.5
"""How long giving up outboxes, or the pause of some assets, may take to help before (the next) assets pause. The pump tells
of a fall after a second at the earliest."""


class MemoryStatistics(msgspec.Struct, frozen=True):
    level: str
    """``normal``, ``soft`` or ``hard``: the highest mark that what waits is above."""
    held_bytes: int
    """When the last mark was crossed; 0 before the first."""
    soft_bytes: int
    hard_bytes: int
    evictions: int
    """Clients and sinks that were let go."""
    freed_bytes: int
    """What waited for them."""


class MemoryGuard:
    """Use it from the Trio thread only. Nothing but :meth:`run` blocks or is a checkpoint."""

    def __init__(
        self,
        *,
        pump: Pump,
        holding: Holding,
        bus: Publisher,
        logger: Logger,
        limits: Limits,
        step_s: float = _STEP_S,
    ) -> None:
        self.level = "normal"
        """``normal``, ``soft`` or ``hard``: the highest mark that what waits is above."""
        self._held_bytes = 0
        self._evictions = self._freed_bytes = 0
        self._pump = pump
        self._holding = holding
        self._bus = bus
        self._logger = logger
        self._limits = limits
        self._step_s = step_s
        self._hard = trio.Event()
        """Set while the level is hard; another one after each time."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Guard until cancelled. What is paused then, stays so."""
        self.apply(self._limits)
        task_status.started()
        while True:
            hard = self._hard
            await hard.wait()
            await trio.sleep(self._step_s)
            if self._hard is hard and (held := self._holding.hold_lowest()):
                self._logger.warning("assets pause: too much waits in memory", assets=held)

    def apply(self, limits: Limits) -> None:
        """Take other marks; they hold at once."""
        self._limits = limits
        self._pump.guard(limits.memory_soft_bytes, limits.memory_hard_bytes, self._crossed)

    def admit(self) -> None:
        """Whether somebody new may be let in.

        Raises:
          RequestError: ``memory-pressure``: not now.
        """
        if self.level == "hard":
            most = self._limits.memory_hard_bytes
            raise RequestError(
                "memory-pressure", f"more than {most} bytes wait for subscribers (limits.memory_hard_bytes); come back later"
            )

    def evicted(self, name: str, freed_bytes: int) -> None:
        """A client or a sink was let go because memory was short."""
        self._evictions += 1
        self._freed_bytes += freed_bytes
        self._bus.publish(
            MemoryPressure(level=self.level, held_bytes=self._held_bytes, evicted=name, freed_bytes=freed_bytes)
        )

    def statistics(self) -> MemoryStatistics:
        limits = self._limits
        return MemoryStatistics(
            self.level, self._held_bytes, limits.memory_soft_bytes, limits.memory_hard_bytes, self._evictions, self._freed_bytes
        )

    def _crossed(self, mark: MemoryMark) -> None:
        previous, self.level, self._held_bytes = self.level, mark.level, mark.held_bytes
        log = self._logger.info if mark.level == "normal" else self._logger.warning
        log("memory mark crossed", memory=mark.level, previous=previous, held_bytes=mark.held_bytes)
        self._bus.publish(MemoryPressure(level=mark.level, held_bytes=mark.held_bytes))
        if mark.level == "hard":
            self._hard.set()
        elif self._hard.is_set():
            self._hard = trio.Event()
        if mark.level == "normal" and (released := self._holding.release()):
            self._logger.info("assets go on: memory is there again", assets=released)
