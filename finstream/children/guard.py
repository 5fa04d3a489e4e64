"""The engine's side of the guardian: starts it, tells it of children, starts it again should it die."""

from __future__ import annotations

import os
import subprocess
import sys

import trio

from finstream.children import guardian
from finstream.children.ports import Logger
from finstream.children.spec import ENGINE_MARK

__all__ = ["Guard"]

_RESTART_PAUSE_S = 1.0
_FAREWELL_S = 5.0
"""How long the guardian's last look may take, beside the grace."""


class Guard:
    """Keeps one guardian process alive (see :mod:`finstream.children.guardian`).

    ``grace_s`` is what orphans get between SIGTERM and SIGKILL.
    """

    def __init__(self, *, epoch: str, logger: Logger, grace_s: float = 5.0) -> None:
        self._mark = f"{ENGINE_MARK}={epoch}"
        self._log = logger
        self._grace_s = grace_s
        self._pipe: int | None = None
        self._sessions: set[int] = set()
        self._scope = trio.CancelScope(shield=True)
        self._dismissed = False
        self._process: trio.Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the guardian at work, if there is one."""
        return None if self._process is None or self._pipe is None else self._process.pid

    def watch(self, session: int) -> None:
        """A child was started; its process is the leader of this session."""
        self._sessions.add(session)
        self._tell(f"+{session}\n")

    def forget(self, session: int) -> None:
        """Nothing of that child is left."""
        self._sessions.discard(session)
        self._tell(f"-{session}\n")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the guardian alive until :meth:`dismiss`. Cancellation alone does not end it: it guards the stopping as
        well.

        Raises:
          OSError: the first one could not be started; without it the engine must not start a child.
        """
        with self._scope:
            try:
                await self._start()
                task_status.started()
                await self._replace_the_dead()
            finally:
                self._close_pipe()

    async def _replace_the_dead(self) -> None:
        while True:
            assert self._process is not None
            started_at = trio.current_time()
            code = await self._process.wait()
            self._close_pipe()
            if self._dismissed:
                return
            self._log.error("the guardian ended although nobody asked it to; starting another", exit_code=code)
            while self._pipe is None:
                await trio.sleep_until(started_at + _RESTART_PAUSE_S)  # not at once again and again
                started_at = trio.current_time()
                try:
                    await self._start()
                except OSError as error:
                    self._log.error("cannot start a guardian; orphans are possible until it works", error=str(error))

    async def dismiss(self) -> None:
        """Let the guardian have its last look and leave. Run it shielded, after the last child has gone."""
        self._dismissed = True
        with trio.move_on_after(self._grace_s + guardian.KILL_WAIT_S + _FAREWELL_S):
            if self._process is not None:
                self._tell("goodbye\n")
                self._close_pipe()
                await self._process.wait()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            await self._process.wait()
        self._scope.cancel()

    async def _start(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(writing, False)
            self._process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", guardian.__file__, self._mark, str(self._grace_s)],
                stdin=reading, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True,
                # Without the mark of an engine that we may be a child of: its guardian is not to end ours.
                env={name: value for name, value in os.environ.items() if name != ENGINE_MARK},
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._pipe = writing
        for session in sorted(self._sessions):
            self._tell(f"+{session}\n")

    def _tell(self, line: str) -> None:
        if self._pipe is None:
            return  # the next one is told of all
        try:
            os.write(self._pipe, line.encode())
        except BrokenPipeError:
            pass  # it has just died; the next one is told of all
        except BlockingIOError:
            # It does not read, so it is stuck or stopped: of no use.
            assert self._process is not None
            self._process.kill()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
