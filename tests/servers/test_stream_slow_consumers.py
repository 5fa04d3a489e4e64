"""Clients of the stream that read too slowly: let go alone, with a receipt, and told why if they read on."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from stream_clients import hear, open_raw, read_all, receipt
from websockets.trio.client import connect

from finstream.vocabulary.events import ClientDisconnected
from finstream.vocabulary.reasons import CLOSINGS
from finstream.vocabulary.settings import Limits


async def fill(stream: Any, uuid: str, until: Callable[[], bool]) -> None:
    handle = stream.pump.asset_handle("alpha")
    message = b'{"type":"asset","filler":"' + b"x" * 50_000 + b'"}'
    with trio.fail_after(20):
        while not until():
            stream.pump.broadcast(handle, message)
            await trio.sleep(0.001)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(outbox_bytes=500_000, outbox_age_ms=60_000), "slow_consumer_bytes"),
        (Limits(outbox_bytes=1 << 30, outbox_age_ms=200), "slow_consumer_age"),
    ],
)
async def test_a_client_that_stops_reading_dies_alone_with_a_receipt(
    open_stream: Any, limits: Limits, reason: str
) -> None:
    async with open_stream(limits=limits) as stream:
        slow, quick = stream.register(), stream.register()
        for uuid in (slow, quick):
            stream.sessions.subscribe(uuid, ["alpha"])
        async with await open_raw(stream, slow), connect(stream.url(quick), max_queue=None) as client:
            with stream.bus.subscribe("test") as events:
                await fill(stream, slow, lambda: stream.sessions.describe(slow).state == "waiting")
                told = await receipt(stream, slow)
                assert told.reason == reason
                assert told.queued_bytes > 0
                if reason == "slow_consumer_age":
                    assert told.oldest_ms >= 200
                while not isinstance(event := events.receive_nowait(), ClientDisconnected):
                    pass
                assert (event.client, event.receipt) == (slow, told)
            await client.send('{"op":"ping","id":"still here"}')
            while (await hear(client))["type"] != "pong":
                pass
            assert stream.sessions.describe(quick).state == "connected"
        assert stream.demand.wanted_by("alpha") <= 1


def frames(said: bytes) -> list[tuple[int, bytes]]:
    """First byte and payload of each; the last one must be whole."""
    found = []
    while said:
        length, start = said[1], 2
        if length > 125:
            start += 2 if length == 126 else 8
            length = int.from_bytes(said[2:start], "big")
        assert len(said) >= start + length, said[:100]
        found.append((said[0], said[start : start + length]))
        said = said[start + length :]
    return found


@asynccontextmanager
async def fed(stream: Any, asset: str) -> AsyncIterator[Callable[[bytes], None]]:
    """Something to publish lines with, as an ingestor does; returns when the pump has read them."""
    handle = stream.pump.asset_handle(asset)
    ours, theirs = os.pipe()
    source = stream.pump.add_source(handle, ours, lambda _event: None)

    def publish(lines: bytes) -> None:
        before = stream.pump.asset_statistics(handle).bytes
        assert os.write(theirs, lines) == len(lines)
        while stream.pump.asset_statistics(handle).bytes < before + len(lines):
            pass

    try:
        yield publish
    finally:
        stream.pump.remove_source(source)
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(outbox_bytes=200_000, outbox_age_ms=60_000), "slow_consumer_bytes"),
        (Limits(outbox_bytes=1 << 30, outbox_age_ms=150), "slow_consumer_age"),
    ],
)
@pytest.mark.parametrize("what", ["messages", "broadcasts"])
async def test_who_was_slow_and_reads_on_hears_why(open_stream: Any, limits: Limits, reason: str, what: str) -> None:
    """The rest of the frame that was under way, the goodbye, the close frame, the end; and a receipt that is right."""
    async with open_stream(limits=limits, surroundings={"close_s": 20}) as stream, fed(stream, "alpha") as publish:
        uuid, alpha = stream.register(), stream.pump.asset_handle("alpha")
        stream.sessions.subscribe(uuid, ["alpha"])
        async with await open_raw(stream, uuid) as raw:
            [connection] = stream.server.connections
            outbox = connection._outbox
            published, enough = 0, False
            with trio.fail_after(20):
                while not connection._ended_by:
                    if reason == "slow_consumer_age" and stream.pump.outbox_statistics(outbox).queued_bytes >= 100_000:
                        enough = True  # for good: it may be given up at any moment, and what is published then is not for it
                    if not enough:
                        if what == "messages":
                            pad = b"x" * 30_000
                            publish(b'{"symbol":"A","price":%d,"ts":1,"pad":"%s"}\n' % (published + 1, pad))
                        else:
                            stream.pump.broadcast(alpha, b'{"type":"asset","pad":"%s"}' % (b"x" * 30_000))
                        published += 1
                    await trio.sleep(0.001)
            *told, goodbye, close = frames(await read_all(raw, within_s=10))
        assert 1 < len(told) < published
        assert goodbye[0] == 0x81
        farewell = json.loads(goodbye[1])
        closing = CLOSINGS[reason]
        assert (farewell["type"], farewell["code"], farewell["close_code"]) == ("goodbye", reason, closing.close_code)
        assert close == (0x88, closing.close_code.to_bytes(2, "big") + reason.encode())
        receipt_of_it = await receipt(stream, uuid)
        assert receipt_of_it.reason == reason
        if what == "messages":
            assert [json.loads(payload)["seq"] for _, payload in told] == list(range(1, len(told) + 1))
            assert (receipt_of_it.last_asset, receipt_of_it.last_seq) == ("alpha", len(told))
            assert receipt_of_it.delivered == len(told)
            assert receipt_of_it.delivered + receipt_of_it.queued_messages == published
