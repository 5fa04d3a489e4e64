"""That the load client notices every way in which a stream can be wrong, and times what it receives."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest
from lying_server import LyingServer, frame

from bench.load_client import LoadClient, Receipt
from bench.processes import TrialFailed

FIRST = 1_000_000_000
Servers = Callable[..., LyingServer]
Connect = Callable[..., LoadClient]


def tick(index: int, *, stamp: int = 1_700_000_000_000_000_000) -> bytes:
    """As FinStream's: the index as a string member near the end."""
    return f'{{"type":"tick","symbol":"BTC/USDT","price":"67123.45","ts":{stamp},"trade_id":"{FIRST + index}"}}'.encode()


def ticks(*indexes: int) -> bytes:
    return b"".join(frame(tick(index)) for index in indexes)


def received(client: LoadClient, *, last: int) -> Receipt:
    return client.finish(FIRST + last, still_s=0.3, limit_s=5)


def test_an_honest_stream_is_complete(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(3)
    client = connect(server, 3)
    client.begin(FIRST, time.time_ns(), 1000.0)
    server.send(ticks(*range(50)))
    receipt = received(client, last=49)
    assert receipt.complete(FIRST + 49)
    assert (receipt.messages, receipt.least, receipt.most, receipt.missing, receipt.repeated) == (150, 50, 50, 0, 0)


@pytest.mark.parametrize(
    ("indexes", "missing", "repeated"),
    [
        ([0, 1, 3, 4], 1, 0),
        ([1, 2, 3, 4], 1, 0),
        ([0, 1, 1, 2, 3, 4], 0, 1),
        ([0, 2, 1, 3, 4], 1, 1),
        ([0, 1, 2, 3], 0, 0),
        ([0, 1, 2, 3, 4, 5], 0, 0),
        ([], 0, 0),
    ],
    ids=["gap", "lost first", "duplicate", "reordered", "lost last", "one too many", "nothing"],
)
def test_what_is_wrong_on_one_connection_is_noticed(
    lying_server: Servers, connect: Connect, indexes: list[int], missing: int, repeated: int
) -> None:
    server = lying_server(2)
    client = connect(server, 2)
    client.begin(FIRST, time.time_ns(), 1000.0)
    honest, lying = server.connections
    honest.sendall(ticks(0, 1, 2, 3, 4))
    lying.sendall(ticks(*indexes))
    receipt = received(client, last=4)
    assert not receipt.complete(FIRST + 4)
    assert (receipt.missing, receipt.repeated) == (missing, repeated)


def test_ticks_of_an_earlier_account_count_as_repeated(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server)
    client.begin(FIRST + 10, time.time_ns(), 1000.0)
    server.send(ticks(9, 10, 11))
    receipt = received(client, last=11)
    assert (receipt.repeated, receipt.complete(FIRST + 11)) == (1, False)


def test_a_closed_connection_is_told_with_its_reason(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server)
    client.begin(FIRST, time.time_ns(), 1000.0)
    server.send(ticks(0) + frame(struct.pack("!H", 4003) + b'slow "consumer"', opcode=8))
    receipt = received(client, last=0)
    assert (receipt.closed, receipt.complete(FIRST)) == (1, False)
    assert receipt.reason == "closed with 4003 slow 'consumer'"
    answer = server.connections[0].recv(100)
    assert answer[0] == 0x88  # the closing handshake is answered


def test_pings_are_answered_with_their_payload_masked(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server)
    client.begin(FIRST, time.time_ns(), 1000.0)
    server.send(frame(b"are you there?", opcode=9) + ticks(0))
    pong = b""
    while len(pong) < 6 + 14:
        pong += server.connections[0].recv(100)
    assert pong[:2] == bytes([0x8A, 0x80 | 14])
    assert bytes(byte ^ pong[2 + i % 4] for i, byte in enumerate(pong[6:])) == b"are you there?"
    receipt = received(client, last=0)
    assert (receipt.pings, receipt.complete(FIRST)) == (1, True)


def test_fragments_long_frames_and_cuts_make_no_difference(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server)
    client.begin(FIRST, time.time_ns(), 1000.0)
    whole = tick(0)
    fragmented = frame(whole[:20], final=False) + frame(b"", opcode=9) + frame(whole[20:40], opcode=0, final=False)
    fragmented += frame(whole[40:], opcode=0)
    long = frame(tick(1).replace(b"BTC", b"B" * 70_000))
    control = frame(b'{"type":"health","state":"live"}')
    for byte in fragmented:
        server.send(bytes([byte]))
    server.send(long + control + ticks(2))
    receipt = received(client, last=2)
    assert receipt.complete(FIRST + 2)
    assert (receipt.messages, receipt.others) == (3, 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x81\x85\x00\x00\x00\x00hello", "masked"),
        (b"\xc1\x00", "reserved bits"),
        (b"\x83\x00", "unknown opcode"),
        (b"\x09\x00", "control frame"),
        (b"\x81\x7e\x00\x05hello", "shortest form"),
        (b"\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00", "too long"),
        (b"\x80\x00", "out of order"),
        (b"\x01\x01a\x81\x01b", "out of order"),
    ],
)
def test_breaches_of_the_protocol_are_told(lying_server: Servers, connect: Connect, data: bytes, why: str) -> None:
    server = lying_server()
    client = connect(server)
    client.begin(FIRST, time.time_ns(), 1000.0)
    server.send(ticks(0) + data)
    receipt = received(client, last=0)
    assert (receipt.illegal, receipt.closed, receipt.complete(FIRST)) == (1, 1, False)
    assert why in receipt.reason


def test_latency_counts_from_the_stamp_and_from_the_schedule(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server)
    now = time.time_ns()
    client.begin(FIRST, now - 80_000_000, 100.0)  # tick 3 was due 30 ms after the start: 50 ms ago
    server.send(frame(tick(0)) + frame(tick(1)) + frame(tick(2)) + frame(tick(3, stamp=now - 20_000_000)))
    receipt = received(client, last=3)
    assert receipt.write.min_ns >= 20_000_000
    assert receipt.due.min_ns >= 50_000_000
    assert receipt.due.min_ns < receipt.due.max_ns
    assert receipt.write.count == receipt.due.count == 4
    assert 80_000_000 <= receipt.due.max_ns <= receipt.last_receipt_ns - now + 80_001_000


def test_microsecond_stamps_and_other_members(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server, index_member="n", stamp_member="at", stamp_unit_ns=1000)
    now = time.time_ns()
    client.begin(7, now, 0.0)
    server.send(frame(f'{{"n":7,"at":{now // 1000 - 5000}}}'.encode()))
    receipt = client.finish(7)
    assert receipt.complete(7)
    assert receipt.write.min_ns >= 5_000_000
    assert receipt.due.count == 0  # without a rate there is no schedule


def test_sampling_takes_the_same_ticks_everywhere(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(2)
    client = connect(server, 2)
    client.begin(FIRST, time.time_ns(), 1000.0, sample_every=10)
    server.send(ticks(*range(35)))
    receipt = received(client, last=34)
    assert receipt.complete(FIRST + 34)
    assert receipt.write.count == 2 * 4


def test_a_refused_handshake_is_told(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(answer=b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(TrialFailed, match=r"1 of 1 connections could not be made: handshake refused: HTTP/1.1 404"):
        connect(server)


def test_a_wrong_accept_header_is_refused(lying_server: Servers, connect: Connect) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"
    with pytest.raises(TrialFailed, match="handshake refused"):
        connect(lying_server(answer=answer))


def test_readiness_waits_for_its_text_and_says_hello(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(after_handshake=frame(b'{"type":"welcome"}') + frame(b'{"type":"subscribed"}'))
    connect(server, hello=("subscribe!",), ready_text='"subscribed"')
    hello = b""
    while len(hello) < 6 + 10:
        hello += server.connections[0].recv(100)
    assert bytes(byte ^ hello[2 + i % 4] for i, byte in enumerate(hello[6:])) == b"subscribe!"


def test_who_does_not_become_ready_fails_with_the_last_message(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(after_handshake=frame(b'{"type":"error","detail":"no such asset"}'))
    with pytest.raises(TrialFailed, match=r"last message: .*no such asset"):
        connect(server, ready_text='"subscribed"', timeout_s=0.5)


def test_each_connection_takes_its_own_path(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(3)
    connect(server, 3, paths=("/a?client=1", "/a?client=2", "/a?client=3"))
    asked = sorted(request.split(b" ")[1] for request in server.requests)
    assert asked == [b"/a?client=1", b"/a?client=2", b"/a?client=3"]
