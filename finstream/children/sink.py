"""One sink: a program that reads messages, one JSON object a line, on its standard input.

To the pump it is an outbox like any other: it wants the assets of its topics while its process runs, and one that does
not keep up is ended (``SlowSink``) with its receipt in the log, and started again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

import trio
from trio.lowlevel import FdStream

from finstream.children.demand import Demand
from finstream.children.guard import Guard
from finstream.children.lifecycle import State
from finstream.children.ports import Logger
from finstream.children.runner import Runner
from finstream.children.spawn import Ends, open_pipe, open_socketpair
from finstream.children.spec import ChildSpec
from finstream.children.status import SinkStatus
from finstream.pump import Framing, HalfFull, OutboxClosed, OutboxStatistics, Pump
from finstream.vocabulary.settings import Limits, SinkSettings

__all__ = ["Sink"]

_LOOK_AGAIN_S = 0.02
"""How often a queue that is being emptied is looked at."""


class Sink:
    """A sink of the configuration. It has no demand of its own: it runs for as long as it is configured."""

    linger_s = 0.0

    def __init__(
        self,
        spec: ChildSpec,
        settings: SinkSettings,
        *,
        pump: Pump,
        demand: Demand,
        limits: Limits,
        guard: Guard,
        evicted: Callable[[str, int], None],
        logger: Logger,
        jitter: Callable[[], float],
        wall_us: Callable[[], int],
    ) -> None:
        self.name = spec.name
        self._settings = settings
        self._wires: SinkWires | None = None
        self._cut_offs = 0
        self._pump = pump
        self._demand = demand
        self._limits = limits
        self._evicted = evicted
        self._log = logger
        self.runner = Runner(self, spec, settings, guard=guard, logger=logger, jitter=jitter, wall_us=wall_us)

    def reconfigure(self, spec: ChildSpec, settings: SinkSettings) -> None:
        """Take new settings; the process is replaced only if it needs to be."""
        self._settings = settings
        if self._wires is not None:
            self._wires.set_priority(settings.priority)
        self.runner.reconfigure(spec, settings)

    def status(self) -> SinkStatus:
        runner = self.runner
        return SinkStatus(
            name=self.name,
            state=runner.life.state,
            reason=runner.life.reason,
            detail=runner.life.detail,
            topics=[str(topic) for topic in runner.spec.topics],
            production=self._settings.production,
            priority=self._settings.priority,
            pid=runner.pid,
            restarts=runner.restarts,
            since_us=runner.life.since_us,
            next_attempt_us=runner.next_attempt_us,
            last_exit_code=runner.last_exit_code,
            cut_offs=self._cut_offs,
            outbox=None if self._wires is None else self._wires.statistics(),
        )

    # --- as its runner sees it (roles.Role) ------------------------------------------------------------------------

    def is_wanted(self) -> bool:
        return True

    def open_wires(self, spec: ChildSpec) -> SinkWires:
        self._wires = SinkWires(
            self._pump, self._demand, self._limits, spec, self._settings.priority, self._was_cut_off, self._log
        )
        return self._wires

    def _was_cut_off(self, closed: OutboxClosed) -> None:
        self._cut_offs += 1
        if closed.reason == "memory_pressure":
            self._evicted(self.name, closed.queued_bytes)

    def changed(self, previous: State) -> None:
        pass  # the runner has logged it; subscribers are told of assets only


class SinkWires:
    """Standard input from the pump, by a socket; standard output and standard error to the log."""

    def __init__(
        self,
        pump: Pump,
        demand: Demand,
        limits: Limits,
        spec: ChildSpec,
        priority: int,
        cut_off: Callable[[OutboxClosed], None],
        logger: Logger,
    ) -> None:
        self._pump = pump
        self._demand = demand
        self._limits = limits
        self._topics = spec.topics
        self._priority = priority
        self._cut_off = cut_off
        self._log = logger
        self._stop: Callable[[str], None] = lambda _reason: None
        self._outbox: int | None = None
        self._lost = trio.Event()
        with ExitStack() as if_it_fails:
            lines, said, logged = (_opened(ends, if_it_fails) for ends in (open_socketpair, open_pipe, open_pipe))
            if_it_fails.pop_all()
        self._socket = socket.socket(fileno=lines.ours)
        self.theirs = (lines.theirs, said.theirs, logged.theirs)
        self.logs: Sequence[tuple[str, FdStream]] = [("stdout", FdStream(said.ours)), ("stderr", FdStream(logged.ours))]

    def close_theirs(self) -> None:
        for end in self.theirs:
            os.close(end)

    def connect(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        limits = self._limits
        self._outbox = self._pump.add_outbox(
            self._socket.fileno(), self._told, framing=Framing.LINES,
            max_bytes=limits.outbox_bytes, max_age_ms=limits.outbox_age_ms,
        )
        self._pump.set_priority(self._outbox, self._priority)
        for topic in self._topics:
            if (asset := self._pump.asset_handle(topic.asset)) is None:
                self._log.warning("the sink's topic names an asset that does not exist", topic=str(topic))
            else:
                self._pump.subscribe(self._outbox, asset, topic.symbol)
        for name in sorted({topic.asset for topic in self._topics}):
            self._demand.want(name)

    def set_priority(self, priority: int) -> None:
        self._priority = priority
        if self._outbox is not None:
            self._pump.set_priority(self._outbox, priority)

    def _told(self, closed: OutboxClosed | HalfFull) -> None:
        if isinstance(closed, HalfFull):
            self._log.warning("the sink is slow", queued_bytes=closed.queued_bytes, oldest_ms=closed.oldest_ms)
            return
        final = closed.statistics
        slow = closed.reason != "connection_lost"
        (self._log.warning if slow else self._log.info)(
            "the sink was cut off", reason=closed.reason, oldest_ms=closed.oldest_ms, queued_bytes=closed.queued_bytes,
            delivered=final.delivered, killed=final.killed, last_seq=final.last_seq,
            last_asset=None if final.last_asset is None else self._pump.asset_name(final.last_asset),
        )
        if slow:
            self._cut_off(closed)
            self._stop("SlowSink")
        self._lost.set()

    def statistics(self) -> OutboxStatistics | None:
        return None if self._outbox is None else self._pump.outbox_statistics(self._outbox)

    async def let_go(self) -> str:
        await self._lost.wait()
        return "StdinClosed"

    async def end_input(self, within_s: float) -> bool:
        """The end of its input is a sink's sign to finish: it loses nothing then that it was still to read."""
        if self._outbox is None:
            return False
        for topic in self._topics:
            if (asset := self._pump.asset_handle(topic.asset)) is not None:
                self._pump.unsubscribe(self._outbox, asset, topic.symbol)
        with trio.move_on_after(within_s):
            while self._has_queued(self._outbox):  # noqa: ASYNC110  (the pump tells of an outbox only when it is lost)
                await trio.sleep(_LOOK_AGAIN_S)
        self._disconnect()
        return True

    def _has_queued(self, outbox: int) -> bool:
        statistics = self._pump.outbox_statistics(outbox)
        return self._pump.running and statistics is not None and statistics.queued_messages > 0

    async def drain(self) -> None:
        pass  # what it did not read, nobody else wants

    def release(self) -> None:
        self._disconnect()
        self._socket.close()

    def _disconnect(self) -> None:
        if self._outbox is None:
            return
        self._pump.remove_outbox(self._outbox)
        self._outbox = None
        for name in sorted({topic.asset for topic in self._topics}):
            self._demand.unwant(name)
        # Not close(): with something of the child's unread, that would throw away what the child has not read yet.
        with suppress(OSError):  # the child was faster
            self._socket.shutdown(socket.SHUT_WR)


def _opened(open_ends: Callable[[], Ends], if_it_fails: ExitStack) -> Ends:
    ends = open_ends()
    for end in ends:
        if_it_fails.callback(os.close, end)
    return ends
