"""Commands that run until they are asked to stop, and then stop with a clean face."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import trio

from finstream.cli import exits

__all__ = ["until_asked_to_stop"]

_Ts = TypeVarTuple("_Ts")


async def until_asked_to_stop(
    function: Callable[[*_Ts], Awaitable[int | None]], *arguments: *_Ts, interrupted: int = exits.OK
) -> int:
    """Run ``function`` until it returns or Ctrl-C, SIGTERM or SIGHUP comes; then it is cancelled.

    Returns its exit code; ``interrupted`` when it was asked to stop. An exception of its own leaves here bare, not in a
    group.
    """
    code: int = interrupted
    failure: BaseException | None = None

    async def run() -> None:
        nonlocal code, failure
        try:
            code = await function(*arguments) or exits.OK
        except Exception as error:  # kept as it is: it leaves outside the nursery, which would wrap it
            failure = error
        nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            async for _ in signals:
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return code
