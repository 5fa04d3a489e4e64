"""The relay passes on every byte in its order, and every ending; what is no TLS it drops."""

from __future__ import annotations

import os
import random
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from finstream.relay import Certificate

MEGABYTES = 4


async def all_of(stream: Any) -> bytes:
    """Up to the end. An end without a close_notify raises."""
    taken = bytearray()
    while data := await stream.receive_some(65536):
        taken += data
    return bytes(taken)


async def test_every_byte_arrives_in_its_order_and_then_the_end(open_relay: Any) -> None:
    sent = random.Random(1).randbytes(MEGABYTES << 20)
    async with open_relay() as rig:
        client, inside = await rig.pair()

        async def speak() -> None:
            chance, at = random.Random(2), 0
            while at < len(sent):
                size = chance.choice((1, 100, 16_384, 16_385, 70_000))
                await inside.send_all(sent[at : at + size])
                at += size
            await inside.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            assert await all_of(client) == sent
        await client.aclose()
        assert await all_of(inside) == b""
        assert rig.relay.statistics().encrypted_bytes == len(sent)


async def test_the_other_way_too_and_its_end(open_relay: Any) -> None:
    sent = random.Random(3).randbytes(MEGABYTES << 20)
    async with open_relay() as rig:
        client, inside = await rig.pair()

        async def speak() -> None:
            await client.send_all(sent)
            await client.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            assert await all_of(inside) == sent
        assert rig.relay.statistics().decrypted_bytes == len(sent)
        await inside.aclose()


async def test_both_ways_at_once(open_relay: Any) -> None:
    sent = random.Random(4).randbytes(1 << 20)
    async with open_relay() as rig:
        client, inside = await rig.pair()

        async def hear(stream: Any) -> None:
            taken = bytearray()
            while len(taken) < len(sent):
                taken += await stream.receive_some(10_000)
            assert taken == sent

        async with trio.open_nursery() as nursery:
            for stream in (client, inside):
                nursery.start_soon(hear, stream)
                nursery.start_soon(stream.send_all, sent)
        await client.aclose()
        await inside.aclose()


async def test_who_does_not_read_stops_the_writer_and_misses_nothing(open_relay: Any, until: Any) -> None:
    async with open_relay(leaving_s=5) as rig:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", rig.port))
        client = await rig.client(trio.SocketStream(trio.socket.from_stdlib_socket(raw)))
        inside = await rig.inside()
        blocks = 0
        with trio.move_on_after(0.5) as patience:
            while True:
                await inside.send_all(b"%08d" % blocks * 1000)
                blocks += 1
                patience.deadline = trio.current_time() + 0.5
        assert blocks < 1000, "8 MB wait somewhere, and the pump knows nothing of it"
        await inside.send_eof()
        heard = await all_of(client)
        whole = b"".join(b"%08d" % block * 1000 for block in range(blocks + 1))
        assert len(heard) >= blocks * 8000
        assert whole.startswith(heard), "the last block may have been cut off"
        await client.aclose()
        await inside.aclose()


async def test_a_client_that_vanishes(open_relay: Any, until: Any) -> None:
    async with open_relay() as rig:
        client, inside = await rig.pair()
        await client.send_all(b"last words")
        client.transport_stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: rig.relay.statistics().decrypted_bytes == 10)
        client.transport_stream.socket.close()
        assert await all_of(inside) == b"last words"
        await inside.send_all(b"nobody hears it")
        await inside.aclose()
        await until(lambda: rig.relay.statistics().open == 0)


async def test_a_pump_that_closes_at_once(open_relay: Any, until: Any) -> None:
    async with open_relay() as rig:
        client, inside = await rig.pair()
        await inside.send_all(b"goodbye")
        await inside.aclose()
        await client.send_all(b"too late")
        assert await all_of(client) == b"goodbye"
        await client.aclose()
        await until(lambda: rig.relay.statistics().open == 0)


async def test_a_peer_that_does_not_close_is_cut_off(open_relay: Any, until: Any) -> None:
    async with open_relay(leaving_s=0.3) as rig:
        client, inside = await rig.pair()
        await inside.aclose()
        assert await all_of(client) == b""
        await until(lambda: rig.relay.statistics().open == 0)
        client.transport_stream.socket.close()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "http request"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "unexpected message"),
        (b"\x16\x03\x01\x40\x00" + b"\0" * 0x4000, ""),
        (b"\x16\x03\x01\xff\xff" + b"\0" * 100, ""),
        (b"\0" * 10_000, ""),
        (b"", ""),
    ],
)
async def test_what_is_no_handshake(open_relay: Any, until: Any, sent: bytes, reason: str) -> None:
    async with open_relay() as rig:
        raw = await rig.raw()
        name = "{}:{}".format(*raw.socket.getsockname())
        try:
            await raw.send_all(sent)
            await raw.send_eof()
        except trio.BrokenResourceError:
            pass
        await until(lambda: rig.failures)
        assert rig.failures[0].peer == name
        assert rig.failures[0].reason
        if reason == "http request":
            assert rig.failures[0].reason == reason
        assert rig.relay.statistics().failed == 1
        await raw.aclose()


async def test_handshakes_cut_short_anywhere(open_relay: Any, until: Any) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    async with open_relay() as rig:
        session = rig.trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        hello = outgoing.read()
        cuts = [1, 4, 5, 6, 40, len(hello) // 2, len(hello) - 1, len(hello)]
        for at in cuts:
            raw = await rig.raw()
            await raw.send_all(hello[:at])
            await raw.send_eof()
            await until(lambda: rig.relay.statistics().shaking == 0)
            await raw.aclose()
        chance = random.Random(5)
        for _ in range(60):
            broken = bytearray(hello)
            for _ in range(chance.randrange(1, 5)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            raw = await rig.raw()
            await raw.send_all(bytes(broken))
            with trio.move_on_after(0.002):
                await raw.receive_some(100)
            await raw.aclose()
        await until(lambda: rig.relay.statistics().shaking == 0)
        client, inside = await rig.pair()
        await client.aclose()
        await inside.aclose()
        assert rig.relay.statistics().connected == 1


@pytest.mark.parametrize(
    "sent", [b"\x17\x03\x03\x00\x20" + bytes(32), b"\x17\x03\x03\x40", os.urandom(500), b"\x15\x03\x03\x00\x02\x01\x00"]
)
async def test_records_that_are_broken_end_the_connection(open_relay: Any, until: Any, sent: bytes) -> None:
    async with open_relay() as rig:
        client, inside = await rig.pair()
        await client.send_all(b"good")
        await client.transport_stream.send_all(sent)
        await client.transport_stream.send_eof()
        assert await all_of(inside) == b"good"
        await inside.aclose()
        await until(lambda: rig.relay.statistics().open == 0)
        client.transport_stream.socket.close()


async def test_a_handshake_has_to_end_in_time(open_relay: Any, until: Any) -> None:
    async with open_relay(handshake_s=0.2) as rig:
        raw = await rig.raw()
        await until(lambda: rig.failures)
        assert rig.failures[0].reason == "no handshake in time"
        assert await raw.receive_some(10) == b""
        await raw.aclose()


async def test_beyond_the_limit_the_backlog_waits(open_relay: Any, until: Any) -> None:
    async with open_relay(most_connections=2) as rig:
        first, second = await rig.pair(), await rig.pair()
        with trio.move_on_after(0.3) as waited:
            await rig.client()
        assert waited.cancelled_caught
        for stream in first:
            await stream.aclose()
        third = await rig.pair()  # and who has gone meanwhile, harms nobody
        for stream in (*second, *third):
            await stream.aclose()


async def test_a_renewed_certificate(open_relay: Any, tmp_path: Path, make_certificate: Callable[..., Any]) -> None:
    other = make_certificate(tmp_path, "other")
    async with open_relay() as rig:
        before = await rig.pair()
        rig.relay.renew(Certificate(str(other.cert).encode(), str(other.key).encode()))
        with pytest.raises(trio.BrokenResourceError):
            await rig.client()
        rig.trust = other.client_context()
        after = await rig.pair()
        for client, inside in (before, after):
            await inside.send_all(b"both live")
            assert await client.receive_some(100) == b"both live"
            await client.aclose()
            await inside.aclose()


async def test_a_stop_gives_everybody_a_little_time(open_relay: Any) -> None:
    async with open_relay(leaving_s=0.5) as rig:
        pairs = [await rig.pair() for _ in range(20)]
        half_way = await rig.raw()
        rig.relay.stop()
        for _client, inside in pairs[:10]:
            await inside.send_all(b"goodbye")
            await inside.send_eof()
        for client, _inside in pairs[:10]:
            assert await all_of(client) == b"goodbye"
            await client.aclose()
        for client, _inside in pairs[10:]:
            with pytest.raises(trio.BrokenResourceError):
                await all_of(client)
        await half_way.aclose()
        for _client, inside in pairs:
            await inside.aclose()


async def test_cancelling_cuts_off_at_once(open_relay: Any) -> None:
    async with open_relay(leaving_s=60) as rig:
        client, inside = await rig.pair()
        rig.running.cancel()
        assert await all_of(inside) == b""
        with pytest.raises(trio.BrokenResourceError):
            await all_of(client)
        await inside.aclose()


async def test_many_come_and_go(open_relay: Any, until: Any) -> None:
    async with open_relay(most_connections=64) as rig:

        async def come_and_go(number: int) -> None:
            chance = random.Random(number)
            for _ in range(4):
                client = await rig.client()
                if chance.random() < 0.5:
                    await client.send_all(b"x" * chance.randrange(1, 50_000))
                if chance.random() < 0.5:
                    client.transport_stream.socket.close()
                else:
                    await client.aclose()

        async def echo() -> None:
            while True:
                nursery.start_soon(echo_one, await rig.inside())

        async def echo_one(inside: trio.SocketStream) -> None:
            async with inside:
                try:
                    while data := await inside.receive_some(10_000):
                        await inside.send_all(data)
                except trio.BrokenResourceError:
                    pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo)
            async with trio.open_nursery() as clients:
                for number in range(40):
                    clients.start_soon(come_and_go, number)
            await until(lambda: rig.relay.statistics().open == 0)
            nursery.cancel_scope.cancel()
        statistics = rig.relay.statistics()
        assert statistics.connected + statistics.failed == statistics.accepted == 160


def test_a_certificate_that_cannot_be_used_says_which_file(
    certificate: Any, tmp_path: Path, make_certificate: Callable[..., Any]
) -> None:
    cert, key = (str(file).encode() for file in certificate)
    other = str(make_certificate(tmp_path).key).encode()
    wrong = {(key, key): "cert_file", (cert, cert): "key_file", (cert, other): "key_file", (b"/none", key): "cert_file"}
    for files, field in wrong.items():
        with pytest.raises(ValueError, match=field):
            Certificate(*files)
