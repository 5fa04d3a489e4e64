"""Run a pump and let the process stop itself (SIGSTOP) while a consumer has something waiting. A helper of test_kills.py.

    python stopped.py SOCKET MAX_AGE_MS CHUNKS CHUNK_BYTES

Writes the number of bytes that wait, as a line, before it stops; after it was continued, ``again`` when it has sent again; then why
the outbox was closed, or that it was not, once nothing waits any more.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

import trio
from rig import until

from finstream.pump import OutboxClosed, Pump


async def main(socket_fd: int, max_age_ms: int, chunks: int, chunk_bytes: int) -> None:
    pump = Pump()
    closed: list[OutboxClosed] = []
    outbox = pump.add_outbox(socket_fd, closed.append, max_bytes=1 << 26, max_age_ms=max_age_ms)
    for _ in range(chunks):
        assert pump.push(outbox, b"x" * chunk_bytes)
    async with trio.open_nursery() as nursery:
        await nursery.start(pump.run)
        await until(lambda: pump.statistics().batches)
        await trio.sleep(0.005)  # by now it waits for the socket, as it nearly always does
        print(queued_bytes(pump, outbox), flush=True)
        before = pump.statistics().sends
        os.kill(os.getpid(), signal.SIGSTOP)
        await until(lambda: closed or pump.statistics().sends > before)
        print("again", flush=True)
        await until(lambda: closed or queued_bytes(pump, outbox) == 0)
        print(closed[0].reason if closed else "alive", flush=True)
        pump.stop()


def queued_bytes(pump: Pump, outbox: int) -> int:
    statistics = pump.outbox_statistics(outbox)
    assert statistics is not None
    return statistics.queued_bytes


if __name__ == "__main__":
    trio.run(partial(main, *map(int, sys.argv[1:])))
