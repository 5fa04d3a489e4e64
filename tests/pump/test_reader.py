"""The pump's reading side, held against wsproto: what a client sends, cut anywhere, means the same to both.

Cases by hand after the list of the Autobahn test suite for servers (framing, pings, reserved bits, opcodes, fragmentation, UTF-8,
close handling), then frames at random, most of them good, some damaged.
"""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from finstream.pump import Message, OutboxClosed, PeerClosed, PeerEvent, PeerFault, Pump, Requested

EFFORT = float(os.environ.get("FINSTREAM_TEST_EFFORT", "1"))
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

    def asked(self, request: Requested) -> None:
        events = self.told[request.peer] = []
        assert request.head == HEAD
        assert self.pump.welcome(request.outbox, b"hello", events.append)
        self.pump.hear_from(request.outbox)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    pump = Pump()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
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
                if waited.cancelled_caught and not is_answered:
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


CODES = (0, 999, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000)
CASES = {
    "nothing": b"",
    "empty text": frame(TEXT),
    "text of 125": frame(TEXT, b"a" * 125),
    "text of 126": frame(TEXT, b"a" * 126),
    "text of 65,535": frame(TEXT, b"a" * 65535),
    "binary": frame(BINARY, bytes(range(256))),
    "two at once": frame(TEXT, b"one") + frame(TEXT, b"two"),
    "ping": frame(PING, b"hello"),
    "ping of 125": frame(PING, b"p" * 125),
    "ping of 126": frame(PING, b"p" * 126),
    "ping in fragments": frame(PING, b"p", final=False),
    "pong unasked": frame(PONG, b"why not"),
    "reserved bit": frame(TEXT, b"a", reserved=4),
    "reserved bit of a ping": frame(PING, b"a", reserved=1),
    "opcode 3": frame(3, b"a"),
    "opcode 7": frame(7),
    "opcode 11": frame(11),
    "opcode 15": frame(15),
    "unmasked": frame(TEXT, b"a", masked=False),
    "length too long by one form": frame(TEXT, b"a", form=126),
    "length too long by two": frame(TEXT, b"a", form=127),
    "length in 64 bits, all set": b"\x81\xff" + b"\xff" * 8 + b"abcd",
    "fragments": frame(TEXT, b"frag", final=False) + frame(MORE, b"ment"),
    "empty fragments": frame(TEXT, final=False) + frame(MORE, final=False) + frame(MORE),
    "ping between fragments": frame(TEXT, b"a", final=False) + frame(PING, b"x") + frame(MORE, b"b"),
    "continuation of nothing": frame(MORE, b"a"),
    "continuation after the end": frame(TEXT, b"a") + frame(MORE, b"b"),
    "text within a message": frame(TEXT, b"a", final=False) + frame(TEXT, b"b"),
    "utf-8": frame(TEXT, "κόσμε".encode()),
    "utf-8 cut by a fragment": frame(TEXT, b"\xce", final=False) + frame(MORE, b"\xba"),
    "utf-8 broken": frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
    "utf-8 unfinished": frame(TEXT, b"abc\xf0\x9f\x98"),
    "utf-8 overlong": frame(TEXT, b"\xc0\xaf"),
    "utf-8 beyond unicode": frame(TEXT, b"\xf4\x90\x80\x80"),
    "a text after a broken one": frame(TEXT, b"\xff") + frame(TEXT, b"a"),
    "close": frame(CLOSE),
    "close 1000": closing(1000, b"bye"),
    "close of one byte": frame(CLOSE, b"\x03"),
    "close with broken utf-8": closing(1000, b"\xff"),
    "close of 126": closing(1000, b"r" * 124),
    **{f"close {code}": closing(code) for code in CODES},
    "text after close": closing(1000) + frame(TEXT, b"a"),
    "ping after close": closing(1000) + frame(PING),
}
# Where we differ from wsproto, and why.
OTHERWISE = {
    "close 1014": 1014,  # registered with IANA
    "close 1016": "fault",  # unassigned
    "close 2999": "fault",
}


@pytest.mark.parametrize("name", CASES)
async def test_it_means_what_it_means_to_wsproto(name: str) -> None:
    data = CASES[name]
    messages, pings, end = expected(data)
    end = OTHERWISE.get(name, end)
    async with serving() as server:
        for cuts in ([], [1], sorted({len(data) // 3, len(data) // 2})):
            got = await heard(server, data, [cut for cut in cuts if 0 < cut < len(data)])
            assert (got[0], got[2]) == (messages, end)
            if end is None:
                assert got[1] == pings


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


@pytest.mark.parametrize("seed", range(max(4, int(60 * EFFORT))))
async def test_frames_at_random(seed: int) -> None:
    rng = random.Random(seed)
    async with serving() as server:
        for _ in range(5):
            data = random_frames(rng)
            cuts = sorted({rng.randrange(1, len(data)) for _ in range(rng.randrange(4))}) if len(data) > 1 else []
            messages, pings, end = expected(data + frame(PING, b"that was all"))
            got = await heard(server, data, cuts, is_answered=b"that was all" in pings)
            if end == "not utf-8" != got[2]:
                continue  # wsproto does not wait for the message's end to look
            assert (got[0], got[2]) == (messages, end), data
            if end is None:
                assert got[1] == [payload for payload in pings if payload != b"that was all"]
