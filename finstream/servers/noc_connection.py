"""One connection of the NOC: what it watches goes into its queue, a task of its own writes from there, another reads its commands.

Nobody who tells something waits for the connection. A reader that falls too far behind is cut off; only that ends the wait of a
task that writes to a full socket.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import msgspec
import trio

from finstream.servers.noc_queue import NocQueue
from finstream.servers.noc_requests import Requests
from finstream.servers.rest import Receive, Send
from finstream.services.bus import Bus
from finstream.services.log_taps import LogTap
from finstream.services.logs import Logger, Logs
from finstream.services.ports import Clock
from finstream.services.telemetry import FRESH_S, Telemetry
from finstream.vocabulary.events import TelemetryTick
from finstream.vocabulary.noc import LogFilter, NocEvent, NocGoodbye, NocLog, NocMessage, NocTelemetry, Watch

__all__ = ["Around", "NocConnection"]

_EVENTS_KEPT = 1024
_LAST_WORDS_S = 1.0
_EARLY_S = 0.2
"""Telemetry that comes so little before its time is sent."""

_encoder = msgspec.json.Encoder()


class Around(NamedTuple):
    """What all connections of the NOC share."""

    requests: Requests
    telemetry: Telemetry
    bus: Bus
    logs: Logs
    logger: Logger
    clock: Clock


class _Component(msgspec.Struct):
    component: str = ""


_components = msgspec.json.Decoder(_Component)


class NocConnection:
    """``cut_off`` ends the connection at once, whatever waits for it."""

    def __init__(self, receive: Receive, send: Send, cut_off: Callable[[], None], origin: str, around: Around) -> None:
        self._receive = receive
        self._send = send
        self._cut_off = cut_off
        self._origin = origin
        self._around = around
        self._queue = NocQueue()
        self._watch = Watch(events=False)
        self._telemetry_due = float("inf")
        self._watching = trio.CancelScope()
        self._tasks: trio.Nursery
        self._ending: str | None = None
        self._asked_to_end = trio.Event()
        self.dropped: str | None = None
        """Why it was dropped, if it was."""

    async def run(self, welcome: NocMessage) -> None:
        """Serve it until it leaves, is dropped, or :meth:`end` is called."""
        with self._around.bus.subscribe("noc", _EVENTS_KEPT) as events:
            async with trio.open_nursery() as self._tasks:
                self._put(welcome)
                self._tasks.start_soon(self._write)
                self._tasks.start_soon(self._follow, events)
                self._tasks.start_soon(self._end_when_asked)
                await self._read()
                self._tasks.cancel_scope.cancel()
        if self._ending is not None and self.dropped is None:
            await self._send({"type": "websocket.close", "code": 1001, "reason": self._ending})

    def end(self, reason: str) -> None:
        """Say goodbye and leave, within a second. Returns at once."""
        self._ending = reason
        self._asked_to_end.set()

    async def _end_when_asked(self) -> None:
        await self._asked_to_end.wait()
        assert self._ending is not None
        self._put(NocGoodbye(code=self._ending))
        with trio.move_on_after(_LAST_WORDS_S) as patience:
            await self._queue.emptied()
        if patience.cancelled_caught:
            self._drop("slow_consumer_age")
        self._tasks.cancel_scope.cancel()

    # --- in ---

    async def _read(self) -> None:
        while True:
            message: Any = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] == "websocket.receive":
                self._put(await self._around.requests.answer(message.get("text"), self._origin, self._start_watching))

    async def _start_watching(self, watch: Watch) -> None:
        self._watching.cancel()
        self._watch, self._watching = watch, trio.CancelScope()
        self._telemetry_due = float("inf")
        if watch.telemetry_s is not None:
            view = await self._around.telemetry.latest()
            self._put(NocTelemetry(telemetry=msgspec.Raw(_encoder.encode(view))))
            # The next one that is told may come before its time, but not long after it.
            self._telemetry_due = trio.current_time() + max(watch.telemetry_s / 2, FRESH_S)
        await self._tasks.start(self._keep_watching, watch, self._watching)

    # --- what it watches ---

    async def _follow(self, events: trio.MemoryReceiveChannel[Any]) -> None:
        async for event in events:
            if not isinstance(event, TelemetryTick):
                if self._watch.events:
                    self._put(NocEvent(at=self._around.clock(), event=msgspec.Raw(_encoder.encode(event))))
            elif self._watch.telemetry_s is not None and trio.current_time() >= self._telemetry_due - _EARLY_S:
                self._telemetry_due = trio.current_time() + self._watch.telemetry_s
                self._put(NocTelemetry(telemetry=event.telemetry))

    async def _keep_watching(
        self, watch: Watch, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with scope, ExitStack() as asked:
            if watch.telemetry_s is not None:
                asked.enter_context(self._around.telemetry.every(watch.telemetry_s))
            tap = None if watch.logs is None else asked.enter_context(self._around.logs.tap(watch.logs.level))
            task_status.started()
            if tap is not None and watch.logs is not None:
                await self._pass_on(tap, watch.logs)
            await trio.sleep_forever()

    async def _pass_on(self, tap: LogTap, wanted: LogFilter) -> None:
        while True:
            lines, dropped = await tap.take()
            for line in lines:
                if _is_wanted(line, wanted):
                    self._put(NocLog(line=msgspec.Raw(line.rstrip(b"\n"))))
            if dropped:
                self._put(NocLog(dropped=dropped))

    # --- out ---

    def _put(self, message: NocMessage) -> None:
        if self.dropped is None and (reason := self._queue.put(_encoder.encode(message).decode())):
            self._drop(reason)

    async def _write(self) -> None:
        while True:
            text = await self._queue.take()
            await self._send({"type": "websocket.send", "text": text})
            self._queue.sent()

    def _drop(self, reason: str) -> None:
        self.dropped = reason
        self._around.logger.warning(
            "a connection of the NOC was dropped", reason=reason, origin=self._origin, queued_bytes=self._queue.bytes,
            oldest_ms=int(self._queue.oldest_s() * 1000),
        )  # fmt: skip
        self._cut_off()
        self._tasks.cancel_scope.cancel()


def _is_wanted(line: bytes, wanted: LogFilter) -> bool:
    if wanted.contains is not None and wanted.contains.lower() not in line.decode(errors="replace").lower():
        return False
    return wanted.component is None or _components.decode(line).component == wanted.component
