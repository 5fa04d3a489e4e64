"""Who may come in: handshakes, and what is none; certificates; and what happens to connections when nobody is accepted any more."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from finstream.acceptor import Certificate


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
async def test_what_is_no_handshake(open_rig: Any, until: Any, sent: bytes, reason: str) -> None:
    async with open_rig() as rig:
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
        assert rig.acceptor.statistics().failed == 1
        assert rig.acceptor.statistics().failures == {rig.failures[0].reason: 1}
        await raw.aclose()


async def test_handshakes_cut_short_anywhere(open_rig: Any, until: Any) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    async with open_rig() as rig:
        session = rig.trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        hello = outgoing.read()
        cuts = [1, 4, 5, 6, 40, len(hello) // 2, len(hello) - 1, len(hello)]
        for at in cuts:
            raw = await rig.raw()
            await raw.send_all(hello[:at])
            await raw.send_eof()
            await until(lambda: rig.acceptor.statistics().shaking == 0)
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
        await until(lambda: rig.acceptor.statistics().shaking == 0)
        client, _inside = await rig.pair()
        await client.aclose()
        assert rig.acceptor.statistics().connected == 1


async def test_a_handshake_has_to_end_in_time(open_rig: Any, until: Any) -> None:
    async with open_rig(handshake_s=0.2) as rig:
        raw = await rig.raw()
        await until(lambda: rig.failures)
        assert rig.failures[0].reason == "no handshake in time"
        assert await raw.receive_some(10) == b""
        await raw.aclose()


async def test_who_says_nothing_does_not_keep_others_out(open_rig: Any, until: Any) -> None:
    async with open_rig(most_handshakes=4) as rig:
        silent = [await rig.raw() for _ in range(4)]
        await until(lambda: rig.acceptor.statistics().shaking == 4)
        client, _inside = await rig.pair()
        assert {failure.reason for failure in rig.failures} == {"no handshake in time, and others wait"}
        await client.aclose()
        for raw in silent:
            await raw.aclose()


async def test_who_shakes_hands_and_asks_nothing_is_let_go(open_rig: Any, until: Any) -> None:
    async with open_rig(handshake_s=0.3) as rig:
        client = await rig.client()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some(10)
        await until(lambda: rig.pump.count_connections() == 0)


async def test_beyond_the_limit_the_backlog_waits(open_rig: Any, until: Any) -> None:
    async with open_rig(most_connections=2) as rig:
        first, second = await rig.pair(), await rig.pair()
        with trio.move_on_after(0.3) as waited:
            await rig.client()
        assert waited.cancelled_caught
        assert rig.pump.count_connections() == 2
        await first[0].aclose()
        await until(lambda: first[1].closed)
        first[1].remove()
        third = await rig.pair()  # and who has gone meanwhile, harms nobody
        assert rig.acceptor.statistics().connected == 3
        for client, _inside in (second, third):
            await client.aclose()


async def test_never_more_than_may_come(open_rig: Any, until: Any) -> None:
    async with open_rig(most_connections=5) as rig:
        most = 0

        async def come() -> None:
            nonlocal most
            client, inside = await rig.pair()
            most = max(most, rig.pump.count_connections())
            await client.aclose()
            await until(lambda: inside.closed)
            inside.remove()

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(come)
        assert 2 <= most <= 5
        statistics = rig.acceptor.statistics()
        assert (statistics.connected, statistics.failed) == (40, 0)


async def test_a_renewed_certificate(open_rig: Any, tmp_path: Path, make_certificate: Callable[..., Any]) -> None:
    other = make_certificate(tmp_path, "other")
    async with open_rig() as rig:
        before = await rig.pair()
        rig.acceptor.renew(Certificate(str(other.cert).encode(), str(other.key).encode()))
        with pytest.raises(trio.BrokenResourceError):
            await rig.client()
        rig.trust = other.client_context()
        after = await rig.pair()
        for client, inside in (before, after):
            assert inside.push(b"both live")
            assert await client.receive_some(100) == b"both live"
            await client.aclose()


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_without_the_acceptor_connections_go_on(open_rig: Any, until: Any, how: str) -> None:
    async with open_rig() as rig:
        pairs = [await rig.pair() for _ in range(20)]
        half_way = await rig.raw()
        await until(lambda: rig.acceptor.statistics().shaking == 1)
        if how == "stop":
            rig.acceptor.stop()
        else:
            rig.accepting.cancel()
        with pytest.raises(trio.BrokenResourceError):
            await half_way.receive_some(10)
        for client, inside in pairs:
            assert inside.push(b"goodbye", final=True)
            assert await client.receive_some(100) == b"goodbye"
            assert await client.receive_some(100) == b""
            await client.aclose()


def test_a_certificate_that_cannot_be_used_says_which_file(
    certificate: Any, tmp_path: Path, make_certificate: Callable[..., Any]
) -> None:
    cert, key = (str(file).encode() for file in certificate)
    other = str(make_certificate(tmp_path).key).encode()
    wrong = {(key, key): "cert_file", (cert, cert): "key_file", (cert, other): "key_file", (b"/none", key): "cert_file"}
    for files, field in wrong.items():
        with pytest.raises(ValueError, match=field):
            Certificate(*files)
