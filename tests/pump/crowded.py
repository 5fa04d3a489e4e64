"""Run a listening pump that may open few descriptors only. A helper of test_listening.py.

    python crowded.py LISTENER ROOM

Writes ``asked`` for each client that has asked, and ``left`` for each that has gone; for each line on stdin the number of turns
that the pump has had. Ends with its stdin.
"""

from __future__ import annotations

import os
import resource
import sys
from functools import partial

import trio

from finstream.pump import OutboxClosed, PeerEvent, Pump, Requested


async def main(listener: int, room: int) -> None:
    pump = Pump()

    def asked(request: Requested) -> None:
        def told(event: PeerEvent) -> None:
            if isinstance(event, OutboxClosed):
                pump.remove_outbox(event.outbox)
                print("left", flush=True)

        pump.welcome(request.outbox, told)
        assert pump.take_up(request.outbox, b"hello")
        print("asked", flush=True)

    stdin = trio.lowlevel.FdStream(os.dup(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(pump.run)
        next_free = os.dup(0)
        os.close(next_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free + room, next_free + room))
        pump.listen(listener, asked, most_connections=1000)
        while await stdin.receive_some():
            print(pump.statistics().batches, flush=True)
        pump.stop()


if __name__ == "__main__":
    trio.run(partial(main, *map(int, sys.argv[1:])))
