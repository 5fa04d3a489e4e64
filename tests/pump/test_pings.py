"""Pings: clients that mean it are answered one by one, and whoever floods takes neither memory nor time from others."""

from __future__ import annotations

import socket

import trio
from clients import HEAD, PING, frame, pongs, serving

WITHIN_S = 20


async def received(stream: trio.SocketStream, last: bytes) -> list[bytes]:
    data = bytearray()
    with trio.fail_after(WITHIN_S):
        while not data.endswith(last):
            data += await stream.receive_some()
    return pongs(bytes(data).removeprefix(b"hello"))


async def test_of_many_at_once_the_last_is_answered() -> None:
    async with serving() as server, await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        await stream.send_all(HEAD)
        with trio.fail_after(WITHIN_S):
            assert await stream.receive_some() == b"hello"
        await stream.send_all(b"".join(frame(PING, b"%03d" % number) for number in range(10)))
        assert await received(stream, b"009") == [b"%03d" % number for number in range(10)]
        await stream.send_all(b"".join(frame(PING, b"%03d" % number) for number in range(500)))
        answered = await received(stream, b"499")
        assert answered[:16] == [b"%03d" % number for number in range(16)]
        assert answered == sorted(answered)
        assert len(answered) < 100


async def test_who_does_not_read_the_answers_has_one_waiting() -> None:
    async with serving(send_bytes=4096) as server:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", server.port))
            raw.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
            await stream.send_all(HEAD)
            number = 0

            async def ping(count: int) -> None:
                nonlocal number
                for _ in range(count):
                    number += 1
                    await stream.send_all(frame(PING, b"%125d" % number if number % 2 else b"%03d" % number))

            with trio.fail_after(WITHIN_S):
                while not server.outboxes or server.pump.outbox_statistics(server.outboxes[0]).queued_bytes == 0:
                    await ping(100)
            await ping(2_000)
            await ping(1)
            assert 0 < server.pump.outbox_statistics(server.outboxes[0]).queued_bytes < 1000
            last = b"%125d" % number if number % 2 else b"%03d" % number
            answered = await received(stream, last)
            assert answered[0] == b"%125d" % 1
            assert len(answered) < number - 1_500
