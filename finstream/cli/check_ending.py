"""The end of a trial: how a program leaves, by itself or when it is asked to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import trio

from finstream.children.ladder import climb, polite
from finstream.children.process import ChildProcess
from finstream.cli.check_observation import Ending

__all__ = ["watch_to_the_end"]


async def watch_to_the_end(
    process: ChildProcess,
    marks: Sequence[str],
    stdout_ended: trio.Event,
    *,
    seconds: float,
    grace_s: float,
    before_stop: Callable[[], None],
) -> tuple[float, Ending]:
    """Let the process run for ``seconds`` or to its own end, then see it off with the engine's own stop ladder. As by the
    engine, one that ends its stdout and stays is asked to leave ``grace_s`` later.

    Returns how long it ran before it was asked, and how it ended. Cancelled, it is stopped all the same.
    """
    start = trio.current_time()
    by_itself = False
    silent_since: float | None = None

    async def notice_silence() -> None:
        nonlocal silent_since
        await stdout_ended.wait()
        silent_since = trio.current_time()
        patience.deadline = min(patience.deadline, silent_since + grace_s)

    try:
        with trio.move_on_after(seconds) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(notice_silence)
                await process.exited()
                by_itself = True
                nursery.cancel_scope.cancel()
    finally:
        before_stop()
        asked = trio.current_time()
        with trio.CancelScope(shield=True):
            ended, killed, left_behind = await _see_off(process, marks, grace_s)
            code = await process.reap()
    ran_s = asked - start
    return ran_s, Ending(
        by_itself=by_itself,
        exit_code=code,
        after_s=ran_s if by_itself else ended - asked,
        stayed_without_stdout_s=0 if silent_since is None else asked - silent_since,
        killed=killed,
        left_behind=left_behind,
    )


async def _see_off(process: ChildProcess, marks: Sequence[str], grace_s: float) -> tuple[float, bool, int]:
    """When it ended, whether it had to be killed, and how many processes it left behind."""
    ended = trio.current_time()
    pidfd = os.pidfd_open(process.pid)

    # The ladder is also busy with what the process leaves behind, so its end is no measure of the process's own.
    async def note_end() -> None:
        nonlocal ended
        await trio.lowlevel.wait_readable(pidfd)
        ended = trio.current_time()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_end)
            left = await climb(process, polite(grace_s), marks)
    finally:
        os.close(pidfd)
    return ended, "SIGKILL" in left.signals, len(left.strays)
