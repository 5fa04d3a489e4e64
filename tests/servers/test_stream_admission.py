"""Who is let in to the stream, and what the others are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stream_clients import hear, read_all, upgrade
from websockets.exceptions import InvalidStatus
from websockets.trio.client import connect

from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.problems import type_uri


async def refusal(url: str, **options: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as raised:
        async with connect(url, **options):
            pass
    response = raised.value.response
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, json.loads(response.body)


async def test_an_unknown_client_is_refused(open_stream: Any) -> None:
    async with open_stream() as stream:
        for uuid in ("", "x", "3f0c5b1e-8d55-4a50-9f7a-3b1f0d2c9a11"):
            status, problem = await refusal(stream.url(uuid))
            assert (status, problem["type"]) == (404, type_uri("unknown-client"))
        status, problem = await refusal(f"ws://127.0.0.1:{stream.port}/v1/stream")
        assert (status, problem["field"]) == (400, "?client")
        status, problem = await refusal(f"ws://127.0.0.1:{stream.port}/elsewhere")
        assert (status, problem["type"]) == (404, type_uri("not-found"))


async def test_a_foreign_page_is_refused(open_stream: Any) -> None:
    async with open_stream(origins=("https://dash.example.com",)) as stream:
        url = stream.url(stream.register())
        status, problem = await refusal(url, origin="https://evil.com")
        assert (status, problem["type"]) == (403, type_uri("foreign-origin"))
        for ours in ("https://dash.example.com", f"http://localhost:{stream.port}"):
            async with connect(url, origin=ours) as client:
                assert (await hear(client))["type"] == "welcome"


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/stream?client=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"POST /v1/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        upgrade("/v1/stream?client=x").replace(b"Version: 13", b"Version: 8"),
        upgrade("/v1/stream?client=x", "X: " + "x" * 20_000),
    ],
)
async def test_what_is_no_handshake_is_told_so_and_dropped(open_stream: Any, said: bytes) -> None:
    async with open_stream() as stream, await stream.connect_raw() as raw:
        await raw.send_all(said)
        answer = await read_all(raw)
        assert answer.startswith(b"HTTP/1.1 426 ")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Sec-WebSocket-Version: 13" in head
        assert json.loads(body)["type"] == type_uri("upgrade-required")


@pytest.mark.parametrize(
    "said",
    [
        b"", b"GET /v1/str", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100,
        upgrade("/v1/stream").replace(b"Host: localhost", b"Host: \xff\xfe.\xc3(x"),
    ],
)  # fmt: skip
async def test_who_never_ends_the_handshake_is_dropped(open_stream: Any, said: bytes) -> None:
    async with open_stream(surroundings={"handshake_s": 0.2}) as stream, await stream.connect_raw() as raw:
        await raw.send_all(said)
        await read_all(raw, within_s=2)


async def test_who_hangs_up_during_the_handshake_leaves_nothing(open_stream: Any, until: Any) -> None:
    async with open_stream(surroundings={"handshake_s": 60}) as stream:
        uuid = stream.register()
        for said in (b"", b"GET /v1/str", upgrade(f"/v1/stream?client={uuid}"), upgrade("/v1/stream?client=x")):
            async with await stream.connect_raw() as raw:
                if said:
                    await raw.send_all(said)
        await until(lambda: not stream.server.connections and not stream.pump.statistics().outboxes)


async def test_nobody_is_let_in_while_memory_is_short(open_stream: Any) -> None:
    short = True

    def admit() -> None:
        if short:
            raise RequestError("memory-pressure", "too much waits")

    async with open_stream(surroundings={"admit": admit}) as stream:
        uuid = stream.register()
        with pytest.raises(InvalidStatus) as raised:
            async with connect(stream.url(uuid)):
                pass
        response = raised.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert json.loads(response.body)["type"] == type_uri("memory-pressure")
        status, _problem = await refusal(stream.url("stranger"))
        assert status == 404, "who is not registered need not come back"
        short = False
        async with connect(stream.url(uuid)) as client:
            assert (await hear(client))["type"] == "welcome"
