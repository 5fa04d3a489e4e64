"""One run of one child: a process from its start to the last line it wrote.

The order of an ending matters:

1. the ladder, until nothing of the child is left;
2. the pump reads what is left in the pipe, so no completed line is lost;
3. the pump gives our end back, and it is closed;
4. the process is reaped, which frees its number.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from finstream.children.guard import Guard
from finstream.children.ladder import HARD, climb, polite
from finstream.children.ports import Logger
from finstream.children.process import ChildProcess
from finstream.children.roles import Wires
from finstream.children.spawn import spawn
from finstream.children.spec import ChildSpec
from finstream.children.stderr_log import LineLog, log_lines

__all__ = ["Ending", "Run"]

_LAST_WORDS_S = 1.0
"""How long the log of a child that is gone is read on: somebody whom we could not end may hold it open."""


class Ending(NamedTuple):
    exit_code: int | None
    """Negative: the signal that ended it. None: it hangs in the kernel."""
    ran_s: float
    last_words: str
    """The last line it logged."""

    def how(self) -> str:
        """In words."""
        if self.exit_code is None:
            return "it hangs in the kernel"
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return f"ended by {signal.Signals(-self.exit_code).name}"
        except ValueError:
            return f"ended by signal {-self.exit_code}"


class Run:
    """See the module's docstring. ``readers`` is where the readers of the child's log live; they end with
    :meth:`end`."""

    def __init__(self, spec: ChildSpec, wires: Wires, *, guard: Guard, logger: Logger, readers: trio.Nursery) -> None:
        self._spec = spec
        self._wires = wires
        self._guard = guard
        self._log = logger
        self._readers = readers
        self._process: ChildProcess | None = None
        self._started_at = 0.0
        self._logs: list[LineLog] = []
        self._reading = trio.CancelScope(shield=True)
        self._read = trio.Event()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process. Once it exists this returns, whatever is cancelled; then :meth:`end` must follow.

        Raises:
          CannotStartError: the command cannot be executed. The wires have been released.
          OSError: the system cannot start a process now. The wires have been released.
        """
        stdin, stdout, stderr = self._wires.theirs
        try:
            self._process = await spawn(self._spec, stdin=stdin, stdout=stdout, stderr=stderr)
        except BaseException:
            self._wires.release()
            self._close_logs()
            raise
        finally:
            self._wires.close_theirs()
        self._guard.watch(self._process.pid)
        self._started_at = trio.current_time()
        self._readers.start_soon(self._read_logs)

    def connect(self, stop: Callable[[str], None]) -> None:
        """Let its data flow."""
        self._wires.connect(stop)

    async def exited(self) -> None:
        """Wait until the process has ended by itself."""
        assert self._process is not None
        await self._process.exited()

    def has_exited(self) -> bool:
        assert self._process is not None
        return self._process.has_exited()

    async def stop_if_deaf(self, stop: Callable[[str], None], grace_s: float) -> None:
        """A child that closed its data stream has nothing left to do: give it the grace to leave, then stop it."""
        reason = await self._wires.let_go()
        await trio.sleep(grace_s)
        stop(reason)

    async def end(self, grace_s: float, *, hard: bool) -> Ending:
        """Make it leave, if it has not, and clean up; in the order of the module's docstring. ``hard``: without asking.

        Run it shielded. Takes ``grace_s``, and some seconds more at the worst.
        """
        process = self._process
        assert process is not None
        asked_at = trio.current_time()
        ran_s = asked_at - self._started_at
        if not hard and not process.has_exited() and await self._wires.end_input(grace_s / 2):
            with trio.move_on_at(asked_at + grace_s / 2):
                await process.exited()
        ended_by_itself = process.has_exited()
        # Whatever it leaves behind gets a grace of its own, unless the child used it up.
        rest_s = grace_s if ended_by_itself else max(0.0, asked_at + grace_s - trio.current_time())
        left = await climb(process, HARD if hard else polite(rest_s), self._spec.marks)
        if left.strays:
            pids = [stray.pid for stray in left.strays]
            self._log.warning("the child left processes behind; they were ended", pids=pids)
        await self._wires.drain()
        self._wires.release()
        with trio.move_on_after(_LAST_WORDS_S):
            await self._read.wait()
        self._reading.cancel()
        await self._read.wait()
        exit_code = await self._take_exit_code(process, left.unkillable)
        return Ending(exit_code, ran_s, next((log.last_line for log in self._logs if log.stream == "stderr"), ""))

    async def _take_exit_code(self, process: ChildProcess, unkillable: Sequence[int]) -> int | None:
        if unkillable:
            self._log.error("processes do not die of SIGKILL; they hang in the kernel", pids=list(unkillable))
        if not process.has_exited():
            process.abandon()
            return None
        exit_code = await process.reap()
        if not unkillable:
            self._guard.forget(process.pid)
        return exit_code

    async def _read_logs(self) -> None:
        try:
            with self._reading:
                async with trio.open_nursery() as nursery:
                    for name, stream in self._wires.logs:
                        lines = LineLog(self._log, stream=name)
                        self._logs.append(lines)
                        nursery.start_soon(log_lines, stream, lines)
        finally:
            for log in self._logs:
                log.end()
            self._close_logs()
            self._read.set()

    def _close_logs(self) -> None:
        for _name, stream in self._wires.logs:
            stream.close()
