"""Clients of a listening pump: the frames they send, what wsproto makes of those, and what the pump does."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from finstream.pump import Message, OutboxClosed, PeerClosed, PeerEvent, PeerFault, Pump, Requested

__all__ = [
    "BINARY", "CLOSE", "HEAD", "MORE", "PING", "PONG", "TEXT", "Server", "closing", "expected", "frame", "heard", "random_frames",
    "serving",
]

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
TEXT, BINARY, MORE, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0, masked: bool = True, form: int = 0) -> bytes:
    """A client's frame; ``form`` 126 or 127 writes the length longer than it must be."""
    first = (0x80 if final else 0) | reserved << 4 | opcode
    length, mask_bit = len(payload), 0x80 if masked else 0
    if form == 127 or length > 0xFFFF:
        head = struct.pack("!BBQ", first, mask_bit | 127, length)
    elif form == 126 or length > 125:
        head = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        head = bytes((first, mask_bit | length))
    if not masked:
        return head + payload
    mask = bytes((0x11, 0xA2, 0x00, 0xFF))
    return head + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def expected(data: bytes) -> tuple[list[bytes | str], list[bytes], Any]:
    """Messages, pings, and the end as wsproto understands them: None (goes on), a close code, or "fault"."""
    oracle = Connection(ConnectionType.SERVER)
    messages: list[bytes | str] = []
    pings: list[bytes] = []
    parts: list[Any] = []
    try:
        oracle.receive_data(data)
        for event in oracle.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                parts.append(event.data)
                if event.message_finished:
                    messages.append(("" if isinstance(event, TextMessage) else b"").join(parts))
                    parts = []
            elif isinstance(event, Ping):
                pings.append(bytes(event.payload))
            elif isinstance(event, CloseConnection):  # also what it makes of a frame it cannot parse
                if oracle.state is ConnectionState.REMOTE_CLOSING:
                    return messages, pings, int(event.code)
                return messages, pings, "not utf-8" if event.code == 1007 else "fault"
    except RemoteProtocolError:
        return messages, pings, "fault"
    return messages, pings, None


class Server:
    def __init__(self, pump: Pump, port: int) -> None:
        self.pump = pump
        self.port = port
        self.told: dict[str, list[PeerEvent]] = {}
        self.outboxes: list[int] = []

    def asked(self, request: Requested) -> None:
        events = self.told[request.peer] = []
        self.outboxes.append(request.outbox)
        assert request.head == HEAD
        self.pump.welcome(request.outbox, events.append)
        assert self.pump.take_up(request.outbox, b"hello")


@asynccontextmanager
async def serving(*, send_bytes: int | None = None) -> AsyncIterator[Server]:
    """``send_bytes``: so much of what is sent, at most, is kept by the kernel for each client (it doubles it)."""
    pump = Pump()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        if send_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
        server = Server(pump, listener.getsockname()[1])
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            pump.listen(listener.fileno(), server.asked, most_connections=100, leaving_s=0.5)
            yield server
            pump.stop_listening()
            pump.stop()


async def heard(
    server: Server, data: bytes, cuts: list[int], *, is_answered: bool = True
) -> tuple[list[bytes | str], list[bytes], Any]:
    """The same as :func:`expected`, from the pump, fed ``data`` in pieces.

    ``is_answered`` says whether a ping behind it is heard as one: not if ``data`` ends within a frame.
    """
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    host, port = stream.socket.getsockname()
    async with stream:
        pieces = [HEAD + data] if not cuts else [HEAD, *(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))]
        answers = bytearray()
        for piece in pieces:
            await stream.send_all(piece)
            await trio.lowlevel.checkpoint()
        # A ping of our own at the end: once it is answered, all before it has been heard. A fault or a close ends it earlier.
        try:
            await stream.send_all(frame(PING, b"that was all"))
            while b"that was all" not in answers:
                events = server.told.get(f"{host}:{port}", [])
                if any(isinstance(event, (PeerFault, PeerClosed, OutboxClosed)) for event in events):
                    break
                with trio.move_on_after(0.05) as waited:
                    received = await stream.receive_some()
                    if not received:
                        break
                    answers += received
                if waited.cancelled_caught and not is_answered and f"{host}:{port}" in server.told:
                    break
        except trio.BrokenResourceError:
            pass
        await trio.testing.wait_all_tasks_blocked(0.001)
    events = server.told[f"{host}:{port}"]
    messages: list[bytes | str] = []
    for event in events:
        if isinstance(event, Message):
            messages.append(event.payload.decode() if event.is_text else event.payload)
        elif isinstance(event, PeerFault):
            return messages, [], "not utf-8" if event.fault == "not_utf8" else "fault"
        elif isinstance(event, PeerClosed):
            return messages, [], event.code
    assert answers.startswith(b"hello")
    return messages, [payload for payload in pongs(bytes(answers[5:])) if payload != b"that was all"], None


def pongs(data: bytes) -> list[bytes]:
    found = []
    while data:
        assert data[0] == 0x80 | PONG
        found.append(data[2 : 2 + data[1]])
        data = data[2 + data[1] :]
    return found


def random_frames(rng: random.Random) -> bytes:
    data = bytearray()
    inside = False
    for _ in range(rng.randrange(1, 12)):
        payload = rng.choice([b"", b"x", b"\xe2\x82\xac", b"{}" * rng.randrange(200), rng.randbytes(rng.randrange(8))])
        if rng.random() < 0.2:
            data += frame(rng.choice([PING, PONG]), payload[:125])
            continue
        final = rng.random() < 0.6
        data += frame(MORE if inside else rng.choice([TEXT, BINARY]), payload, final=final)
        inside = not final
    if rng.random() < 0.3:
        data += closing(rng.choice([1000, 1001, 3000, 4999]), b"bye")
    if rng.random() < 0.4:
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
    return bytes(data)
