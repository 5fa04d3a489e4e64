"""One child through its life: starts, watches, stops and restarts it, run after run.

The task in :meth:`Runner.run` does everything that takes time. Commands, demand and the pump's events come as plain calls that
change the state on the spot and wake the task, so whoever asks next sees the new state already.

What an ingestor and a sink do differently is their :class:`Role`; what joins one run's standard streams to the pump are its
:class:`Wires`.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from finstream.children.guard import Guard
from finstream.children.ladder import HARD, climb, polite
from finstream.children.lifecycle import COMMANDS, Lifecycle, State
from finstream.children.ports import Logger
from finstream.children.process import ChildProcess
from finstream.children.restarts import Restarts
from finstream.children.spawn import CannotStart, spawn
from finstream.children.spec import ChildSpec
from finstream.children.stderr_log import LineLog, log_lines
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.settings import AssetSettings, SinkSettings

__all__ = ["Role", "Runner", "Wires"]

_WRONG_CONFIGURATION = 78
_LAST_WORDS_S = 1.0
"""How long a child's log is read on after its end: until somebody else who holds it is given up."""

_FAILURES = frozenset({"BackpressureOverflow", "SlowSink", "StdoutClosed", "StdinClosed"})
"""Stops that were the child's fault; it comes back by the restart policy."""
_HARD_STOPS = frozenset({"BackpressureOverflow", "SlowSink"})
"""Those who do not keep up are not asked: what they still had to say would be in the way of what is new."""
_LEVELS: dict[State, str] = {"backoff": "warning", "tripped": "error", "misconfigured": "error"}


class Wires(Protocol):
    """The standard streams of one run. Opened with both ends; ours are closed by :meth:`release`."""

    stdin: int
    stdout: int
    stderr: int
    logs: Sequence[tuple[str, trio.abc.AsyncResource]]

    def close_theirs(self) -> None:
        """The child has its ends now, or will never need them."""

    def connect(self, stop: Callable[[str], None]) -> None:
        """Give our end to the pump; ``stop`` takes a reason and is called when the pump finds the child at fault."""

    async def let_go(self) -> str:
        """Wait until the child closed its data stream; returns the reason to stop it should it stay."""

    async def end_input(self, within_s: float) -> bool:
        """Ask the child to leave by ending its input, after what is queued for it. False: it has none."""

    async def drain(self) -> None:
        """The child is gone: wait (with a bound) until the pump has read what it left in its pipe."""

    def release(self) -> None:
        """Take our end from the pump and close it. May be called again."""


class Role(Protocol):
    """What the runner asks of an asset or a sink."""

    @property
    def linger_s(self) -> float: ...
    def is_wanted(self) -> bool: ...
    def open_wires(self, spec: ChildSpec) -> Wires: ...
    def changed(self, previous: State) -> None:
        """The state changed. Neither blocks nor raises."""


class Runner:
    """The life of one child. See the module's docstring."""

    def __init__(
        self,
        role: Role,
        spec: ChildSpec,
        settings: AssetSettings | SinkSettings,
        *,
        guard: Guard,
        logger: Logger,
        jitter: Callable[[], float],
        wall_us: Callable[[], int],
    ) -> None:
        self.spec = spec
        self.pid: int | None = None
        self.restarts = 0
        self.last_exit_code: int | None = None
        self.next_attempt_us: int | None = None
        self.leaving = "EngineStopping"
        """Why it will have been stopped when :meth:`run` is cancelled."""
        self.life = Lifecycle(wall_us, self._changed)
        self._role = role
        self._settings = settings
        self._guard = guard
        self._log = logger
        self._wall_us = wall_us
        self._restarts = Restarts(settings.restart, jitter)
        self._next_attempt = math.inf
        self._stop_reason: str | None = None
        self._serving = trio.CancelScope()
        self._news = trio.lowlevel.ParkingLot()
        self._last_words = ""

    # --- told from outside ----------------------------------------------------------------------------------------------

    def demand_changed(self, newly_wanted: bool) -> None:
        if newly_wanted and self.life.state == "done":
            self._begin("Wanted")
        self._news.unpark_all()

    def command(self, command: str) -> None:
        """``pause``, ``start`` or ``restart``.

        Raises:
          RequestError: ``wrong-state``.
        """
        state = self.life.state
        if state not in COMMANDS[command]:
            possible = ", ".join(sorted(COMMANDS[command]))
            raise RequestError("wrong-state", f"{command} is possible in the states {possible}; {self.spec.name} is {state}")
        if command == "pause":
            if state in {"starting", "running", "stopping"}:
                self.stop("Paused")
            else:
                self.life.enter("paused", "Paused")
            self._news.unpark_all()
            return
        self._restarts.forgive()
        if state in {"starting", "running"}:
            self.stop("RestartRequested")
        else:
            self._begin("StartRequested" if command == "start" else "RestartRequested")

    def reconfigure(self, spec: ChildSpec, settings: AssetSettings | SinkSettings) -> bool:
        """Take a new configuration. Returns whether it needs a new process; then it gets one, if it is wanted and not paused."""
        changed = spec != self.spec
        self.spec, self._settings = spec, settings
        self._restarts.settings = settings.restart
        if changed:
            self._restarts.forgive()
            if self.life.state in {"starting", "running"}:
                self.stop("ConfigChanged")
            elif self.life.state in {"backoff", "tripped", "misconfigured", "done"}:
                self.life.enter("idle", "ConfigChanged")
        self._news.unpark_all()
        return changed

    def stop(self, reason: str) -> None:
        """Have the present run stopped, for a reason of ``STOPS``. Of a run that is being stopped only a pause changes the end."""
        if self.life.state == "stopping":
            if reason == "Paused":
                self._stop_reason = reason
        elif self.life.state in {"starting", "running"}:
            self._stop_reason = reason
            self.life.enter("stopping", reason)
            self._serving.cancel(reason=reason)

    # --- the task -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled; then end the child by its ladder, shielded, and leave it idle."""
        try:
            while True:
                if self.life.state == "starting":
                    await self._run_once()
                else:
                    await self._rest()
        finally:
            if self.life.state == "starting":
                self.life.enter("stopping", self.leaving)
            if self.life.state != "idle" or self.leaving == "ConfigRemoved":
                self.life.enter("idle", self.leaving)

    async def _rest(self) -> None:
        """Without a process: wait for a reason to start one."""
        state, wanted = self.life.state, self._role.is_wanted()
        if state == "idle" and wanted:
            self._begin("Wanted")
        elif state in {"backoff", "tripped"} and trio.current_time() >= self._next_attempt:
            if wanted:
                self.restarts += 1
                self._begin("Retry")
            else:
                self.life.enter("idle", "NoDemand")
        else:
            waits = state in {"backoff", "tripped"}
            with trio.move_on_at(self._next_attempt if waits else math.inf):
                await self._news.park()

    async def _run_once(self) -> None:
        """One process from its start to the last line it wrote; decides on the state after it."""
        spec, grace_s = self.spec, self._settings.stop_grace_s
        self._stop_reason, self._serving, self._last_words = None, trio.CancelScope(), ""
        try:
            wires = self._role.open_wires(spec)
        except OSError as error:
            self._did_not_start(error)
            return
        try:
            process = await spawn(spec, stdin=wires.stdin, stdout=wires.stdout, stderr=wires.stderr)
        except BaseException as error:
            wires.close_theirs()
            wires.release()
            if isinstance(error, (CannotStart, OSError)):
                self._did_not_start(error)
                return
            raise
        wires.close_theirs()
        self.pid = process.pid
        self._guard.watch(process.pid)
        started_at = trio.current_time()
        async with trio.open_nursery() as logs:
            ...
