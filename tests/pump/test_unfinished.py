"""What clients begin to say and do not finish: it counts as memory, and the guard lets go of those first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from clients import HEAD, PING, TEXT, Server, frame, serving
from rig import until

from finstream.pump import MemoryMark, OutboxClosed

CLIENTS = 20
WITHIN_S = 20


@asynccontextmanager
async def guarded(marks: list[MemoryMark]) -> AsyncIterator[tuple[Server, list[trio.SocketStream]]]:
    """A server with a guard that tells of its marks, and clients that have said nothing yet."""
    async with serving() as server:
        server.pump.guard(500_000, 1_000_000, marks.append)
        with trio.fail_after(WITHIN_S):
            streams = [await trio.open_tcp_stream("127.0.0.1", server.port) for _ in range(CLIENTS)]
            yield server, streams
            for stream in streams:
                await stream.aclose()


async def test_unfinished_messages_are_memory() -> None:
    marks: list[MemoryMark] = []
    async with guarded(marks) as (server, streams):
        for stream in streams:
            await stream.send_all(HEAD + frame(TEXT, b"x" * 60_000, final=False))
        await until(lambda: len(server.told) == CLIENTS and marks, "all of them, and the mark")

        def gone() -> list[OutboxClosed]:
            return [event for events in server.told.values() for event in events if isinstance(event, OutboxClosed)]

        await until(lambda: len(gone()) >= CLIENTS - 9, "the evictions")
        ended = gone()
    assert marks[0].level == "soft"
    assert marks[0].held_bytes > 500_000
    assert {event.reason for event in ended} == {"memory_pressure"}
    assert len(ended) <= CLIENTS - 3


async def test_the_beginning_of_a_frame_takes_its_own_memory_only() -> None:
    """And not that of the long one before it."""
    marks: list[MemoryMark] = []
    async with guarded(marks) as (_server, streams):
        for stream in streams:
            long = frame(TEXT, b"x" * 60_000)
            await stream.send_all(HEAD + long[:50_000])
            await stream.send_all(long[50_000:] + frame(PING, b"all") + frame(TEXT, b"beginning")[:3])
            answers = b""
            while not answers.endswith(b"all"):
                answers += await stream.receive_some()
        await trio.sleep(0.3)  # longer than between two looks of the guard
    assert marks == []
