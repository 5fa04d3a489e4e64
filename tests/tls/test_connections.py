"""Connections with TLS: every byte arrives in its order, and every ending; and what the pump promises holds for them as well."""

from __future__ import annotations

import os
import random
import socket
import ssl
import struct
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest
import trio
from clients import MORE, TEXT, frame

MEGABYTES = 4


async def all_of(stream: Any) -> bytes:
    """Up to the end. An end without a close_notify raises."""
    taken = bytearray()
    while data := await stream.receive_some(65536):
        taken += data
    return bytes(taken)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_every_byte_arrives_in_its_order_and_then_the_end(open_rig: Any, version: ssl.TLSVersion) -> None:
    sent = random.Random(1).randbytes(MEGABYTES << 20)
    async with open_rig() as rig:
        rig.trust.minimum_version = rig.trust.maximum_version = version
        client, inside = await rig.pair()
        assert client.version() == version.name.replace("_", ".")

        async def speak() -> None:
            chance, at = random.Random(2), 0
            while at < len(sent):
                size = chance.choice((1, 100, 16_384, 16_385, 70_000))
                assert inside.push(sent[at : at + size])
                at += size
                await trio.lowlevel.checkpoint()
            inside.push(b"", final=True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            assert await all_of(client) == sent
        await client.aclose()
        assert rig.pump.encryption().encrypted_bytes == len(b"hello") + len(sent)


async def test_the_other_way_too_and_its_end(open_rig: Any, until: Any) -> None:
    chance = random.Random(3)
    sent = [chance.randbytes(chance.choice((0, 1, 100, 16_384, 65_536))) for _ in range(200)]
    async with open_rig() as rig:
        client, inside = await rig.pair()
        framed = b"".join(frame(2, message) for message in sent)
        await client.send_all(framed)
        await client.aclose()
        await until(lambda: inside.closed)
        assert inside.messages == sent
        assert (inside.closed.reason, inside.closed.errno) == ("connection_lost", 0)
        assert rig.pump.encryption().decrypted_bytes == len(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n") + len(framed)


async def test_both_ways_at_once(open_rig: Any, until: Any) -> None:
    sent = random.Random(4).randbytes(1 << 20)
    async with open_rig() as rig:
        client, inside = await rig.pair()

        async def hear() -> None:
            taken = bytearray()
            while len(taken) < len(sent):
                taken += await client.receive_some(10_000)
            assert taken == sent

        async def speak() -> None:
            for at in range(0, len(sent), 10_000):
                inside.push(sent[at : at + 10_000])
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            nursery.start_soon(speak)
            for at in range(0, len(sent), 10_000):
                await client.send_all(frame(2, sent[at : at + 10_000]))
        await until(lambda: b"".join(inside.messages) == sent)
        await client.aclose()


@pytest.mark.parametrize("records", [512, 16_384])
async def test_clients_may_want_small_records(open_rig: Any, until: Any, records: int) -> None:
    """RFC 6066, 4; Python's ssl cannot ask for it, OpenSSL's own client can."""
    sent = random.Random(6).randbytes(300_000)
    async with open_rig() as rig:
        fragments = {512: ["-maxfraglen", "512"], 16_384: []}[records]
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{rig.port}", "-quiet", "-nocommands", *fragments]
        client = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        try:
            await client.stdin.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            await until(lambda: rig.inside)
            [inside] = rig.inside.values()
            inside.push(sent, final=True)
            assert await all_of(client.stdout) == b"hello" + sent
        finally:
            client.kill()
            await client.wait()


async def test_a_client_that_vanishes(open_rig: Any, until: Any) -> None:
    async with open_rig() as rig:
        client, inside = await rig.pair()
        await client.send_all(frame(TEXT, b"last words"))
        client.transport_stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: inside.messages)
        client.transport_stream.socket.close()
        await until(lambda: inside.closed)
        assert inside.messages == [b"last words"]
        assert inside.closed.reason == "connection_lost"
        assert not inside.push(b"nobody hears it")
        inside.remove()
        await until(lambda: rig.pump.encryption().open == 0)


async def test_a_client_that_leaves_without_a_word(open_rig: Any, until: Any) -> None:
    """The end of TCP without that of TLS is no fault: WebSocket has last words of its own."""
    async with open_rig() as rig:
        client, inside = await rig.pair()
        await client.transport_stream.send_eof()
        await until(lambda: inside.closed)
        assert (inside.closed.reason, inside.closed.errno) == ("connection_lost", 0)


async def test_a_pump_that_closes_at_once(open_rig: Any, until: Any) -> None:
    async with open_rig() as rig:
        client, inside = await rig.pair()
        assert inside.push(b"goodbye", final=True)
        await client.send_all(frame(TEXT, b"too late"))
        assert await all_of(client) == b"goodbye"
        await client.aclose()
        await until(lambda: inside.closed)
        assert inside.closed.reason == "finished"
        assert inside.messages == []
        inside.remove()
        await until(lambda: rig.pump.encryption().open == 0)


async def test_a_peer_that_does_not_close_is_cut_off(open_rig: Any, until: Any) -> None:
    async with open_rig(leaving_s=0.3) as rig:
        client, inside = await rig.pair()
        inside.push(b"", final=True)
        assert await all_of(client) == b""
        await until(lambda: inside.closed)
        assert inside.closed.reason == "finished"
        client.transport_stream.socket.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x17\x03\x03\x00\x20" + bytes(32), os.urandom(500), b"\x15\x03\x03\x00\x02\x01\x00",
        b"\x17\x03\x03\x41\x01" + bytes(0x4101), b"\x16\x03\x03\x00\x04\x00\x00\x00\x00",
    ],
)  # fmt: skip
async def test_records_that_are_broken_end_the_connection(open_rig: Any, until: Any, sent: bytes) -> None:
    async with open_rig() as rig:
        client, inside = await rig.pair()
        other, inside_other = await rig.pair()
        await client.send_all(frame(TEXT, b"good"))
        await until(lambda: inside.messages)
        await client.transport_stream.send_all(sent)
        await until(lambda: inside.closed)
        assert (inside.closed.reason, inside.closed.errno > 0) == ("connection_lost", True)
        assert inside.messages == [b"good"]
        with pytest.raises(trio.BrokenResourceError):
            await all_of(client)
        inside_other.push(b"harms nobody", final=True)
        assert await all_of(other) == b"harms nobody"


async def test_half_a_record_is_no_end(open_rig: Any, until: Any) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    async with open_rig() as rig:
        session = rig.trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
        raw = await rig.raw()

        async def turn(act: Any) -> Any:
            while True:
                try:
                    done = act()
                except ssl.SSLWantReadError:
                    await raw.send_all(outgoing.read())
                    incoming.write(await raw.receive_some())
                else:
                    return done

        await turn(session.do_handshake)
        session.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        session.write(frame(TEXT, b"one", final=False) + frame(MORE, b"two"))
        for byte in outgoing.read():
            await raw.send_all(bytes([byte]))
        await until(lambda: rig.inside and next(iter(rig.inside.values())).messages)
        [inside] = rig.inside.values()
        assert inside.messages == [b"onetwo"]
        assert await turn(lambda: session.read(100)) == b"hello"
        assert inside.closed is None


async def test_many_come_and_go(open_rig: Any, until: Any) -> None:
    async with open_rig(most_connections=64) as rig:

        async def come_and_go(number: int) -> None:
            chance = random.Random(number)
            for _ in range(4):
                client, _inside = await rig.pair()
                if chance.random() < 0.5:
                    await client.send_all(frame(2, b"x" * chance.randrange(1, 50_000)))
                if chance.random() < 0.5:
                    client.transport_stream.socket.close()
                else:
                    await client.aclose()

        async def answer() -> None:
            answered = 0
            while True:
                for inside in list(rig.inside.values()):
                    if inside.closed:
                        inside.remove()
                    elif len(inside.messages) > answered:
                        inside.push(inside.messages[-1])
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            async with trio.open_nursery() as clients:
                for number in range(40):
                    clients.start_soon(come_and_go, number)
            await until(lambda: rig.pump.count_connections() == 0)
            nursery.cancel_scope.cancel()
        statistics = rig.acceptor.statistics()
        assert statistics.connected + statistics.failed == statistics.accepted == 160
