"""Completeness where each subscriber gets some symbols only, and what brokers wrap around messages."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from lying_server import LyingServer, frame

from bench.load_client import LoadClient

FIRST = 1_000_000_000
SYMBOLS, EACH = 6, 2
Servers = Callable[..., LyingServer]
Connect = Callable[..., LoadClient]


def tick(index: int) -> bytes:
    return frame(f'{{"symbol":"S{index % SYMBOLS}/USD","ts":{time.time_ns()},"trade_id":"{FIRST + index}"}}'.encode())


def share(connection: int, last: int) -> list[int]:
    """The indexes of a connection, by the plain definition."""
    symbols = {(connection * EACH + k) % SYMBOLS for k in range(EACH)}
    return [index for index in range(last + 1) if (FIRST + index) % SYMBOLS in symbols]


@pytest.mark.parametrize("last", [11, 16, 20])
def test_each_connection_is_held_to_its_share(lying_server: Servers, connect: Connect, last: int) -> None:
    server = lying_server(4)
    client = connect(server, 4, symbols=SYMBOLS, symbols_each=EACH)
    client.begin(FIRST, time.time_ns(), 1000.0)
    for i, connection in enumerate(server.connections):
        connection.sendall(b"".join(map(tick, share(i, last))))
    receipt = client.finish(FIRST + last, still_s=0.3)
    assert receipt.complete(FIRST + last, symbols=SYMBOLS)
    assert receipt.messages == sum(len(share(i, last)) for i in range(4))
    assert (receipt.missing, receipt.repeated, receipt.strange) == (0, 0, 0)


@pytest.mark.parametrize("lost", [slice(1, 2), slice(2, 7), slice(0, 3), slice(-2, None)])
def test_what_is_lost_of_a_share_is_counted(lying_server: Servers, connect: Connect, lost: slice) -> None:
    server = lying_server()
    client = connect(server, symbols=SYMBOLS, symbols_each=EACH)
    client.begin(FIRST, time.time_ns(), 1000.0)
    mine = share(0, 29)
    gone = mine[lost]
    server.send(b"".join(tick(index) for index in mine if index not in gone))
    receipt = client.finish(FIRST + 29, still_s=0.3)
    assert not receipt.complete(FIRST + 29, symbols=SYMBOLS)
    assert receipt.missing == (0 if lost.stop is None else len(gone))


def test_symbols_that_nobody_asked_for_are_noticed(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server, symbols=SYMBOLS, symbols_each=EACH)
    client.begin(FIRST, time.time_ns(), 1000.0)
    mine = share(0, 11)
    foreign = next(index for index in range(6, 12) if index not in mine)
    server.send(b"".join(tick(index) for index in sorted([*mine, foreign])))
    receipt = client.finish(FIRST + 11, still_s=0.3)
    assert (receipt.strange, receipt.complete(FIRST + 11, symbols=SYMBOLS)) == (1, False)


def test_marked_latencies_are_those_between_the_marks(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server)
    client.begin(FIRST, time.time_ns(), 1000.0)
    for part, on in ((range(3), False), (range(3, 7), True), (range(7, 12), False)):
        client.mark(on)
        server.send(b"".join(map(tick, part)))
        deadline = time.monotonic() + 5
        while client.report().messages <= part[-1]:
            assert time.monotonic() < deadline
    receipt = client.finish(FIRST + 11)
    assert (receipt.write.count, receipt.marked.count) == (12, 4)


def test_nats_is_understood_across_messages(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(after_handshake=frame(b'INFO {"server_id":"x"}\r\nPING\r\n', opcode=2) + frame(b"PONG\r\n", opcode=2))
    client = connect(server, protocol="nats")
    client.begin(FIRST, time.time_ns(), 1000.0)
    packets = b"".join(b"MSG ticks 1 %d\r\n%s\r\n" % (len(text), text) for text in texts(3))
    for at in range(0, len(packets), 7):
        server.send(frame(packets[at : at + 7], opcode=2))
    assert client.finish(FIRST + 2).complete(FIRST + 2)


def test_mqtt_is_understood_across_messages(lying_server: Servers, connect: Connect) -> None:
    connack, suback = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00"
    server = lying_server(after_handshake=frame(connack + suback, opcode=2))
    client = connect(server, protocol="mqtt", subprotocol="mqtt")
    assert b"Sec-WebSocket-Protocol: mqtt" in server.requests[0]
    client.begin(FIRST, time.time_ns(), 1000.0)
    packets = b""
    for text in texts(3):
        rest = b"\x00\x05ticks" + text + b" " * 100
        packets += bytes([0x30, 0x80 | len(rest) & 127, len(rest) >> 7]) + rest
    for at in range(0, len(packets), 50):
        server.send(frame(packets[at : at + 50], opcode=2))
    assert client.finish(FIRST + 2).complete(FIRST + 2)


def texts(count: int) -> list[bytes]:
    return [f'{{"ts":{time.time_ns()},"trade_id":"{FIRST + index}"}}'.encode() for index in range(count)]
