"""One child through its life: run after run, and what lies between them.

The task in :meth:`Runner.run` does everything that takes time. Commands, demand and the pump's events come as plain
calls that change the state on the spot and wake the task, so whoever asks next sees the new state already.

What an ingestor and a sink do differently is their :class:`~finstream.children.roles.Role`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from finstream.children.demand import until_unwanted
from finstream.children.guard import Guard
from finstream.children.lifecycle import COMMANDS, FAULTS, HARD_STOPS, HOLDS, LOG_LEVELS, Lifecycle, State
from finstream.children.ports import Logger
from finstream.children.restarts import Restarts
from finstream.children.roles import Role
from finstream.children.run import Ending, Run
from finstream.children.spawn import CannotStartError
from finstream.children.spec import ChildSpec
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.settings import AssetSettings, SinkSettings

__all__ = ["Runner"]

_WRONG_CONFIGURATION = 78
_AT_REST = frozenset({"idle", "backoff", "tripped", "done"})
"""States without a process that one may leave by itself."""


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
        self.ended_with: int | None = None
        """The exit code of the process whose end the present change tells of."""
        self.next_attempt_us: int | None = None
        self.leaving = "EngineStopping"
        """The reason for its end when :meth:`run` is cancelled."""
        self.life = Lifecycle(wall_us, self._changed)
        self._role = role
        self._settings = settings
        self._guard = guard
        self._log = logger
        self._wall_us = wall_us
        self._restarts = Restarts(settings.restart, jitter)
        self._next_attempt = math.inf
        self._stop_reason: str | None = None
        self._holds: dict[str, str] = {}
        """Of ``HOLDS``, each with its detail."""
        self._serving = trio.CancelScope()
        self._left = False
        self._news = trio.lowlevel.ParkingLot()
        self._last_words = ""

    # --- told from outside -----------------------------------------------------------------------------------------

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
        takes_over = command == "pause" and state == "paused" and self.life.reason in HOLDS
        if state not in COMMANDS[command] and not takes_over:
            possible = ", ".join(sorted(COMMANDS[command]))
            raise RequestError("wrong-state", f"{self.spec.name} is {state}; {command} is possible in {possible}")
        self._holds.clear()  # an operator's word counts more
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

    def reconfigure(self, spec: ChildSpec, settings: AssetSettings | SinkSettings) -> None:
        """Take a new configuration. If it needs another process, it gets one, unless nobody wants it or it is
        paused."""
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

    def stop(self, reason: str) -> None:
        """Have the present run stopped, for a reason of ``STOPS``. When it is being stopped already only a pause
        changes what comes after."""
        if reason in FAULTS and self._left:
            return  # it owes us nothing any more
        if self.life.state in {"starting", "running"}:
            self._stop_reason = reason
            self.life.enter("stopping", reason)
            self._serving.cancel(reason=reason)
        elif self.life.state == "stopping" and reason == "Paused":
            self._stop_reason = reason

    def hold(self, reason: str, detail: str = "") -> None:
        """Stop it and keep it paused until :meth:`relieve`, for a reason of ``HOLDS``. An operator may start it all the same."""
        self._holds[reason] = detail
        if self.life.state in {"starting", "running"}:
            self.stop(reason)
        elif self.life.state in _AT_REST:
            self._pause()
            self._news.unpark_all()

    def restate(self, reason: str, detail: str) -> None:
        """It is held for this reason still, if no operator has decided otherwise, and this is to be said of it now."""
        if self._holds.get(reason, detail) != detail:
            self._holds[reason] = detail
            if self.life.state == "paused" and self.life.reason == reason:
                self._pause()

    def relieve(self, reason: str) -> bool:
        """That reason is gone. Returns whether it was paused for it, and for no other; then it starts again if it is wanted."""
        if self._holds.pop(reason, None) is None:
            return False
        if self._holds:
            if self.life.state == "paused" and self.life.reason == reason:
                self._pause()
            return False
        if self.life.state == "stopping" and self._stop_reason in HOLDS:
            self._stop_reason = HOLDS[reason]
        elif self.life.state == "paused" and self.life.reason in HOLDS:
            self.life.enter("idle", HOLDS[reason])
            self._news.unpark_all()
        else:
            return False
        return True

    def restart_if_running(self) -> None:
        """It is time for its scheduled restart: its process, if it has one, is replaced."""
        if self.life.state in {"starting", "running"}:
            self._restarts.forgive()
            self.stop("ScheduledRestart")

    # --- the task --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled; then end the child by its ladder, shielded, and leave it idle."""
        async with trio.open_nursery() as readers:
            try:
                while True:
                    if self.life.state == "starting":
                        await self._run_once(readers)
                    else:
                        await self._rest()
            finally:
                if self.life.state == "starting":
                    self.life.enter("stopping", self.leaving)
                removed = self.leaving == "ConfigRemoved" and self.life.reason != self.leaving  # told once, also if idle
                if self.life.state != "idle" or removed:
                    self.life.enter("idle", self.leaving)

    async def _rest(self) -> None:
        """Without a process: see whether there is a reason to start one, else wait for news."""
        if self._holds and self.life.state in _AT_REST:
            self._pause()
        state, wanted = self.life.state, self._role.is_wanted()
        waits = state in {"backoff", "tripped"}
        if state == "idle" and wanted:
            self._begin("Wanted")
        elif waits and trio.current_time() >= self._next_attempt:
            if wanted:
                self.restarts += 1
                self._begin("Retry")
            else:
                self.life.enter("idle", "NoDemand")
        else:
            with trio.move_on_at(self._next_attempt if waits else math.inf):
                await self._news.park()

    async def _run_once(self, readers: trio.Nursery) -> None:
        """One process; decides on the state after it."""
        grace_s = self._settings.stop_grace_s
        self._stop_reason, self._serving, self._left = None, trio.CancelScope(), False
        try:
            wires = self._role.open_wires(self.spec)
            run = Run(self.spec, wires, guard=self._guard, logger=self._log, readers=readers)
            await run.start()
        except (CannotStartError, OSError) as error:
            self._did_not_start(error)
            return
        self.pid = run.pid
        try:
            if self._stop_reason is None:
                run.connect(self.stop)
                self.life.enter("running", "Started")
                with self._serving:
                    await self._serve(run, grace_s)
        finally:
            if not run.has_exited():
                self.stop(self.leaving)  # cancelled; otherwise it is being stopped already
            with trio.CancelScope(shield=True):
                ending = await run.end(grace_s, hard=self._stop_reason in HARD_STOPS)
            self._settle(ending)

    async def _serve(self, run: Run, grace_s: float) -> None:
        async with trio.open_nursery() as watchers:
            watchers.start_soon(self._stop_when_unwanted)
            watchers.start_soon(run.stop_if_deaf, self.stop, grace_s)
            await run.exited()
            self._left = True
            watchers.cancel_scope.cancel()

    async def _stop_when_unwanted(self) -> None:
        await until_unwanted(self._role.is_wanted, lambda: self._role.linger_s, self._news)
        self.stop("NoDemand")

    # --- decisions -------------------------------------------------------------------------------------------------

    def _begin(self, reason: str) -> None:
        self.life.enter("starting", reason)
        self._news.unpark_all()

    def _settle(self, ending: Ending) -> None:
        reason, code = self._stop_reason, ending.exit_code
        self.pid, self.last_exit_code, self.ended_with, self._last_words = None, code, code, ending.last_words
        if reason in FAULTS:
            self._failed(reason, self.life.detail, ending.ran_s)
        elif reason is not None:
            self._stopped(reason)
        elif code == 0:
            self._restarts.forgive()
            self.life.enter("done", "Finished")
        elif code == _WRONG_CONFIGURATION:
            self.life.enter("misconfigured", "WrongConfiguration", f"exit code {code}")
        else:
            self._failed("Crashed", ending.how(), ending.ran_s)

    def _did_not_start(self, error: Exception) -> None:
        if self._stop_reason is not None:
            self._stopped(self._stop_reason)
        elif isinstance(error, CannotStartError):
            self.life.enter("misconfigured", "CannotStart", str(error))
        else:
            self._failed("StartFailed", str(error), 0.0)

    def _stopped(self, reason: str) -> None:
        if reason == "Paused":
            self.life.enter("paused", reason)
        elif self._holds:
            self._pause()
        else:
            again = reason in {"ConfigChanged", "ScheduledRestart"} and self._role.is_wanted()
            self.life.enter("starting" if again or reason == "RestartRequested" else "idle", reason)

    def _pause(self) -> None:
        reason, detail = next(iter(self._holds.items()))
        self.life.enter("paused", reason, detail)

    def _failed(self, reason: str, detail: str, ran_s: float) -> None:
        now = trio.current_time()
        decision = self._restarts.failed(now, ran_s)
        self._next_attempt = now + decision.wait_s
        self.next_attempt_us = self._wall_us() + round(decision.wait_s * 1e6)
        if decision.tripped:
            cause = f"{reason}: {detail}" if detail else reason
            self.life.enter("tripped", "CrashLoop", f"{decision.failures} failures in a row, the last one {cause}")
        else:
            self.life.enter("backoff", reason, detail)

    def _changed(self, previous: State) -> None:
        life = self.life
        if life.state not in {"backoff", "tripped"}:
            self.next_attempt_us = None
        fields: dict[str, object] = {"state": life.state, "previous": previous, "reason": life.reason}
        if life.detail:
            fields["detail"] = life.detail
        if self.pid is not None:
            fields["pid"] = self.pid
        if self.ended_with is not None:
            fields |= {"exit_code": self.ended_with, "last_words": self._last_words}
        getattr(self._log, LOG_LEVELS.get(life.state, "info"))("child changed state", **fields)
        self._role.changed(previous)
        self.ended_with = None
