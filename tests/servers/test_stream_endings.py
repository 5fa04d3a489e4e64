"""How connections of the stream end, by either side."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import trio
from stream_clients import ask, expect_end, hear, masked, open_raw, read_all, receipt
from websockets.trio.client import connect

from finstream.pump import OutboxClosed, OutboxStatistics


async def test_the_client_leaves(open_stream: Any) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            await hear(client)
            with trio.fail_after(2):
                await client.aclose(3001, "had enough")
            assert client.close_code == 3001
        told = await receipt(stream, uuid)
        assert (told.reason, told.detail) == ("client_left", "close code 3001: had enough")
        said = json.loads(msgspec.json.encode(told))
        figures = {"queued_bytes": 0, "queued_messages": 0, "oldest_ms": 0, "delivered": 0, "skipped": 0, "conflated": 0}
        assert said.keys() == {"reason", "detail", "at", *figures}  # nothing was delivered, so there is no last message
        assert said.items() >= figures.items()


async def test_the_connection_breaks(open_stream: Any) -> None:
    async with open_stream() as stream:
        for reset in (False, True):
            uuid = stream.register()
            raw = await open_raw(stream, uuid)
            if reset:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await raw.aclose()
            assert (await receipt(stream, uuid)).reason == "connection_lost"


async def test_the_newest_connection_wins(open_stream: Any) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as first:
            await hear(first)
            await ask(first, op="subscribe", topics=["alpha"])
            async with connect(stream.url(uuid)) as second:
                assert (await hear(second))["topics"] == ["alpha"]
                await expect_end(first, "replaced")
                assert stream.sessions.describe(uuid).state == "connected"
                assert await ask(second, op="ping") == {"type": "pong"}
                assert stream.demand.wanted_by("alpha") == 1


async def test_whoever_goes_for_want_of_memory_hears_why(open_stream: Any, log_lines: list[Any]) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            await hear(client)
            (connection,) = stream.server.connections
            none = OutboxStatistics(
                published=0, delivered=0, queued_messages=0, skipped=0, conflated=0, killed=0, queued_bytes=0,
                oldest_ms=0, sent_bytes=0, last_asset=None, last_seq=None,
            )  # fmt: skip
            connection.told(OutboxClosed(0, "memory_pressure", 0, 40, 900, none))
            goodbye = await expect_end(client, "memory_pressure")
            assert "900 bytes were waiting" in goodbye["detail"]
        told = await receipt(stream, uuid)
        assert (told.reason, told.queued_bytes, told.oldest_ms) == ("memory_pressure", 900, 40)
        (line,) = [line for line in log_lines if line["event"] == "client disconnected"]
        assert line["log_level"] == "warning"


async def test_an_unregistered_client_is_told(open_stream: Any) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            await hear(client)
            stream.sessions.unregister(uuid, origin="test")
            await expect_end(client, "unregistered")


@pytest.mark.parametrize("reason", ["engine_stopping", "engine_restarting"])
async def test_the_engine_says_goodbye(open_stream: Any, reason: str) -> None:
    async with open_stream(jitter=lambda: 0.5) as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client, await stream.connect_raw() as stranger:
            await hear(client)
            stream.server.stop(reason, children_s=7)
            goodbye = await expect_end(client, reason)
            drained_ms, children_ms, start_ms, half_the_spread_ms = 2000, 7000, 1500, 500
            back_ms = drained_ms + children_ms + start_ms + half_the_spread_ms
            assert goodbye.get("reconnect_in_ms") == (back_ms if reason == "engine_restarting" else None)
            assert await read_all(stranger) == b""
        with pytest.raises(OSError, match=r"refused|all attempts"):
            await stream.connect_raw()


async def test_a_client_that_does_not_answer_the_close_frame_is_cut_off(open_stream: Any) -> None:
    async with open_stream(surroundings={"close_s": 0.2}) as stream:
        uuid = stream.register()
        async with await open_raw(stream, uuid) as raw:
            stream.sessions.unregister(uuid, origin="test")
            said = await read_all(raw, within_s=2)
            assert b'"code":"unregistered"' in said
            assert said.endswith(b"\x88\x0e\x0f\xa1unregistered")


@pytest.mark.parametrize("too_big", ["x" * 65537, b"x" * 65537, "é" * 32769, "x" * 10_000_000])
async def test_a_request_that_is_too_big(open_stream: Any, too_big: str | bytes) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            await hear(client)
            topics = ["alpha:" + "x" * 64] * 870
            fits = json.dumps({"op": "subscribe", "topics": topics})
            assert 60_000 < len(fits) <= 65536
            await client.send(fits)
            assert (await hear(client))["type"] == "subscribed"
            await client.send(too_big)
            await expect_end(client, "message_too_big")
        assert (await receipt(stream, uuid)).reason == "message_too_big"


@pytest.mark.parametrize(
    "frames",
    [
        b"\x81\x05hello",  # not masked
        masked(0x3, b""),
        masked(0x0, b"x"),
        masked(0x1, b"\xff\xfe"),
        masked(0x9, b"", final=False),
        masked(0x8, b"\x00"),
    ],
)
async def test_a_client_that_breaks_the_protocol(open_stream: Any, frames: bytes) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with await open_raw(stream, uuid) as raw:
            await raw.send_all(frames)
            said = await read_all(raw)
            assert b'"code":"protocol_error"' in said
            assert said.endswith(b"\x88\x10\x03\xeaprotocol_error")
        assert (await receipt(stream, uuid)).reason == "protocol_error"


async def send_for_ever(raw: trio.SocketStream, first: bytes, then: bytes) -> None:
    with suppress(trio.BrokenResourceError):
        await raw.send_all(first)
        while True:
            await raw.send_all(then)


async def test_the_longest_way_to_say_something_is_heard(open_stream: Any) -> None:
    request = json.dumps({"op": "subscribe", "topics": ["alpha:" + "x" * 64] * 870, "id": 1}).encode()
    async with open_stream() as stream, await open_raw(stream, stream.register()) as raw:
        frames = [masked(0x0, request[n : n + 1], final=False) for n in range(1, len(request) - 1)]
        await raw.send_all(masked(0x1, request[:1], final=False) + b"".join(frames) + masked(0x0, request[-1:]))
        with trio.fail_after(10):
            assert b'"subscribed"' in await raw.receive_some(1000)


async def test_a_flood_of_what_is_no_message_ends(open_stream: Any) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with await open_raw(stream, uuid) as raw, trio.open_nursery() as nursery:
            nursery.start_soon(send_for_ever, raw, masked(0x1, b"", final=False), masked(0x0, b"", final=False) * 5000)
            said = await read_all(raw)
            nursery.cancel_scope.cancel()
            assert b'"code":"protocol_error"' in said
        assert (await receipt(stream, uuid)).reason == "protocol_error"


async def test_a_silent_client_is_pinged_and_given_up(open_stream: Any) -> None:
    async with open_stream(ping_after_s=0.1, give_up_s=0.5, surroundings={"close_s": 0.2}) as stream:
        uuid, quick = stream.register(), stream.register()
        async with await open_raw(stream, uuid) as raw, connect(stream.url(quick)) as client:
            await hear(client)
            said = await read_all(raw)
            assert said.startswith(b"\x89\x00")
            assert b'"code":"unresponsive"' in said
            assert (await receipt(stream, uuid)).reason == "unresponsive"
            assert await ask(client, op="ping") == {"type": "pong"}  # its library has answered the pings
