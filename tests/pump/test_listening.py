"""Accepting: more clients than may come, than there are descriptors for, and such as never ask."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from clients import HEAD, PING, frame
from rig import until

from finstream.pump import OutboxClosed, PeerEvent, Pump, Requested


class Door:
    """A listening pump that welcomes everybody."""

    def __init__(self, pump: Pump, port: int) -> None:
        self.pump = pump
        self.port = port
        self.inside: set[int] = set()
        self.most_inside = 0
        self.welcomed = 0
        self.left = 0

    def asked(self, request: Requested) -> None:
        outbox = request.outbox

        def told(event: PeerEvent) -> None:
            if isinstance(event, OutboxClosed):
                self.inside.discard(outbox)
                self.left += 1
                self.pump.remove_outbox(outbox)

        self.pump.welcome(outbox, told)
        assert self.pump.take_up(outbox, b"hello")
        self.inside.add(outbox)
        self.welcomed += 1
        self.most_inside = max(self.most_inside, self.pump.statistics().outboxes)

    async def come(self, said: bytes = HEAD) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        await stream.send_all(said)
        return stream


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Door]:
    pump = Pump()
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        listener.setblocking(False)
        door = Door(pump, listener.getsockname()[1])
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            pump.listen(listener.fileno(), door.asked, **settings)
            yield door
            pump.stop_listening()
            pump.stop()


async def is_served(stream: trio.SocketStream) -> bool:
    """Greeted, and answered."""
    heard = b""
    await stream.send_all(frame(PING, b"still there"))
    while b"still there" not in heard:
        part = await stream.receive_some()
        if not part:
            return False
        heard += part
    return heard.startswith(b"hello")


async def test_who_finds_no_room_waits_until_somebody_leaves() -> None:
    async with opened(most_connections=3) as door, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await door.come()) for _ in range(10)]
        with trio.fail_after(20):
            for turn in range(10):
                assert await is_served(streams[turn])  # in the order of their coming
                assert door.welcomed <= turn + 3
                await streams[turn].aclose()
        await until(lambda: door.left == 10)
        assert (door.welcomed, door.most_inside) == (10, 3)


@pytest.mark.parametrize("said", [b"", b"GET", HEAD[:-1], b"GET / HTTP/1.1\r\nX: " + b"x" * 16_000])
async def test_who_does_not_ask_in_time_makes_room(said: bytes) -> None:
    async with opened(most_connections=2, handshake_s=0.3) as door, AsyncExitStack() as stack:
        idlers = [await stack.enter_async_context(await door.come(said)) for _ in range(4)]
        guest = await stack.enter_async_context(await door.come())
        with trio.fail_after(20):
            assert await is_served(guest)
            for idler in idlers:
                with suppress(trio.BrokenResourceError):
                    assert await idler.receive_some() == b""
        assert door.welcomed == 1
        assert door.pump.statistics().outboxes == 1


async def test_too_few_descriptors_neither_end_the_pump_nor_make_it_spin() -> None:
    room, more = 5, 4
    script = Path(__file__).with_name("crowded.py")
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        process = await trio.lowlevel.open_process(
            [sys.executable, str(script), str(listener.fileno()), str(room)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[listener.fileno()],
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    said: list[str] = []

    async def hear() -> None:
        assert process.stdout is not None
        part = await process.stdout.receive_some()
        assert part, "the pump has ended"
        said.extend(part.decode().split())

    async def until_said(count: int, word: str) -> None:
        while said.count(word) < count:
            await hear()

    async def turns() -> int:
        assert process.stdin is not None
        await process.stdin.send_all(b"\n")
        while not said[-1].isdigit():
            await hear()
        return int(said.pop())

    try:
        with trio.fail_after(30):
            async with AsyncExitStack() as stack:
                streams = []
                for _ in range(room + more):
                    stream = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
                    await stream.send_all(HEAD)
                    streams.append(stream)
                await until_said(room, "asked")
                before = await turns()
                await trio.sleep(1)
                assert await turns() - before < 50  # it tries again four times a second
                assert said.count("asked") == room
                for turn in range(more):
                    await streams[turn].aclose()
                    await until_said(turn + 1, "left")
                    await until_said(room + turn + 1, "asked")
            await until_said(room + more, "left")
            await process.stdin.aclose()
            assert await process.wait() == 0
    finally:
        process.kill()
        await process.wait()
