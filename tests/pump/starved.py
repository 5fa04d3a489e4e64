"""End a subscription whose waiting messages find no memory in the queue. A helper of test_policies.py.

    python starved.py unsubscribe|change|whole|final

Exits with 0 if the outbox was given up for that, once, with its books in order, and another one beside it was not.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
from functools import partial
from pathlib import Path

import trio
from rig import Rig, balanced, running, tick, until

from finstream.vocabulary.policies import Policy

SYMBOLS = 400
PAD = 60_000
ROOM = 8 << 20
"""What the process may still take: less than the messages of one subscription."""
PATIENT = Policy(max_rate=0.01)


async def main(how: str) -> None:
    async with running() as rig:
        feed = rig.feed()
        topics = [None] if how != "whole" else [f"S{n}" for n in range(SYMBOLS)]
        hungry, other = rig.subscriber(), rig.subscriber((feed.asset, "S1"))
        for topic in topics:
            rig.pump.subscribe(hungry.handle, feed.asset, topic, PATIENT)
        rig.pump.subscribe(hungry.handle, feed.asset, "unheard of")
        for pad in 0, PAD:
            for number in range(SYMBOLS):
                await feed.write_and_wait(tick(1, f"S{number}", pad=pad))
                hungry.read_now()
                other.read_now()
        assert hungry.statistics.queued_bytes > 2 * ROOM
        was = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken() + ROOM, was[1]))
        changed = end(rig, how, hungry.handle, feed.asset)
        resource.setrlimit(resource.RLIMIT_AS, was)
        assert changed is (how == "unsubscribe"), changed
        closed = await hungry.closing()
        assert (closed.reason, closed.errno) == ("connection_lost", errno.ENOMEM)
        assert closed.statistics.killed > SYMBOLS // 3
        assert balanced(closed.statistics)
        assert hungry.statistics == closed.statistics
        await feed.write_and_wait(tick(2, "S1"))
        await until(lambda: other.statistics.delivered == 3)
        assert other.closed == []
        assert rig.pump.asset_statistics(feed.asset).subscribers == 1
        assert len(hungry.closed) == 1


def end(rig: Rig, how: str, outbox: int, asset: int) -> bool:
    if how == "unsubscribe":
        return rig.pump.unsubscribe(outbox, asset)
    if how == "final":
        return rig.pump.push(outbox, b"goodbye", final=True)
    return rig.pump.subscribe(outbox, asset)


def taken() -> int:
    """The memory that the process has reserved, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
