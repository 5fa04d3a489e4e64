"""A child's process, from the moment it was started until it is reaped."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

import trio

__all__ = ["ChildProcess"]


class ChildProcess:
    """The leader of a session and process group of its own.

    Its number stays taken until :meth:`reap`, also after it ended; so signals to the group cannot hit a stranger before
    that.
    """

    def __init__(self, process: trio.Process) -> None:
        """Takes the process over.

        Raises:
          OSError: no file descriptor left. The process is the caller's again.
        """
        self.pid = process.pid
        # Trio's own wait() reaps at once, which is too early: see above.
        self._pidfd = os.pidfd_open(process.pid)
        self._process = process

    async def exited(self) -> None:
        """Wait until it has ended. Others of its group may live on. One task at a time."""
        await trio.lowlevel.wait_readable(self._pidfd)

    def has_exited(self) -> bool:
        """Whether :meth:`exited` would return at once."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def signal_group(self, what: signal.Signals) -> None:
        """Send a signal to the whole process group; before :meth:`reap` only. Those of another user are left out."""
        with suppress(PermissionError):  # said only if none could be signalled: all are another user's
            os.killpg(self.pid, what)

    async def reap(self) -> int:
        """Take the exit code: negative for the signal that ended it. To be called after :meth:`exited`, once."""
        trio.lowlevel.notify_closing(self._pidfd)
        os.close(self._pidfd)
        return await self._process.wait()

    def abandon(self) -> None:
        """Instead of :meth:`reap`, for one that does not even die of SIGKILL because it hangs in the kernel."""
        trio.lowlevel.notify_closing(self._pidfd)
        os.close(self._pidfd)
