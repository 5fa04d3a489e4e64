"""The stream as its clients meet it: a stock client (websockets), or raw bytes where a client must misbehave."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.trio.client import ClientConnection, connect

from finstream.pump import HalfFull, OutboxClosed, OutboxStatistics
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import ClientDisconnected, Receipt
from finstream.vocabulary.problems import type_uri
from finstream.vocabulary.reasons import CLOSINGS
from finstream.vocabulary.settings import Limits


async def hear(client: ClientConnection) -> dict[str, Any]:
    with trio.fail_after(5):
        message: dict[str, Any] = json.loads(await client.recv())
    return message


async def ask(client: ClientConnection, **request: Any) -> dict[str, Any]:
    await client.send(json.dumps(request))
    return await hear(client)


async def ended(client: ClientConnection) -> tuple[int, str]:
    """The close code and reason, once everything before has been read."""
    with trio.fail_after(5):
        try:
            while True:
                await client.recv()
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


async def receipt(stream: Any, uuid: str) -> Receipt:
    with trio.fail_after(5):
        while not (view := stream.sessions.describe(uuid)).last_receipt or view.state == "connected":  # noqa: ASYNC110
            await trio.sleep(0.002)
    told: Receipt = view.last_receipt
    return told


def upgrade(target: str, *headers: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {target} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A client's frame; its mask is zero."""
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    if length > 65535:
        size = b"\xff" + length.to_bytes(8, "big")
    return bytes(((0x80 if final else 0) | opcode,)) + size + b"\0\0\0\0" + payload


async def read_all(stream: trio.SocketStream, within_s: float = 5) -> bytes:
    answer = b""
    with trio.fail_after(within_s):
        try:
            async for part in stream:
                answer += part
        except trio.BrokenResourceError:
            pass
    return answer


async def open_raw(stream: Any, uuid: str, within_s: float = 5) -> trio.SocketStream:
    """Connected, the handshake and the welcome read."""
    raw: trio.SocketStream = await stream.connect_raw()
    await raw.send_all(upgrade(f"/v1/stream?client={uuid}"))
    seen = b""
    with trio.fail_after(within_s):
        while b'"welcome"' not in seen:
            part = await raw.receive_some()
            assert part, seen
            seen += part
    return raw


# --- requests and answers ---


async def test_a_conversation(open_stream: Any) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            welcome = await hear(client)
            assert welcome.pop("engine").startswith("finstream/")
            assert welcome == {"type": "welcome", "protocol": 1, "epoch": "epoch-1", "client": uuid, "topics": []}
            answer = await ask(client, op="subscribe", topics=["alpha", "beta:BTC/USDT"], id=1)
            assert answer == {"type": "subscribed", "id": 1, "topics": ["alpha", "beta:BTC/USDT"]}
            assert stream.demand.wanted_by("alpha") == 1
            answer = await ask(client, op="unsubscribe", topics=["alpha", "beta"], id="two")
            assert answer == {"type": "unsubscribed", "id": "two", "topics": ["alpha", "beta"]}
            assert stream.demand.wanted_by("alpha") == 0
            assert await ask(client, op="ping") == {"type": "pong"}
            assert stream.sessions.get(uuid).topic_names() == ["beta:BTC/USDT"]


@pytest.mark.parametrize(
    ("request_text", "given_id", "problem", "field"),
    [
        ("", None, "malformed-body", None),
        ("{", None, "malformed-body", None),
        ('{"op":"subscribe","topics":["alpha"],"id":1', None, "malformed-body", None),
        (b'{"op":"ping","id":1}', 1, "malformed-body", None),
        (b"\x00\xff", None, "malformed-body", None),
        ("[]", None, "invalid-field", "$"),
        ('{"op":"sell","id":7}', 7, "unknown-operation", "$.op"),
        ('{"id":"x"}', "x", "invalid-field", "$.op"),
        ('{"op":"subscribe","id":2}', 2, "invalid-field", "$.topics"),
        ('{"op":"subscribe","topics":["alpha",3],"id":3}', 3, "invalid-field", "$.topics[1]"),
        ('{"op":"subscribe","topics":["alpha","gamma"],"id":4}', 4, "unknown-asset", "$.topics[1]"),
        ('{"op":"subscribe","topics":["alpha","Ω"],"id":5}', 5, "invalid-topic", "$.topics[1]"),
        ('{"op":"ping","id":{"deep":1}}', {"deep": 1}, "invalid-field", "$.id"),
        ('{"op":"ping","id":[1, 2.50]}', [1, 2.5], "invalid-field", "$.id"),
        ('{"op":"ping","id":true}', True, "invalid-field", "$.id"),
        ('{"op":"ping","id":"' + "x" * 126 + '","x":1}', "x" * 126, "invalid-field", "$.x"),
        ('{"op":"ping","id":"' + "x" * 127 + '"}', None, "invalid-field", "$.id"),
        ('{"op":"ping","id":[' + "1," * 70 + "1]}", None, "invalid-field", "$.id"),
        (b'{"op":"ping","id":"\xff"}', None, "malformed-body", None),
        ('{"op":"ping","id":null,"x":1}', None, "invalid-field", "$.x"),
        ('{"op":"ping","since":1,"id":6}', 6, "invalid-field", "$.since"),
        ('{"op":"ping","id":' + "[" * 5000 + "}", None, "invalid-field", "$.id"),
        ('{"op":"subscribe","topics":["alpha"],"policy":"sometimes","id":8}', 8, "invalid-field", "$.policy"),
        ('{"op":"subscribe","topics":["alpha"],"trades":"conflate","id":9}', 9, "invalid-field", "$.trades"),
        ('{"op":"subscribe","topics":["alpha"],"max_rate":0,"id":10}', 10, "invalid-field", "$.max_rate"),
        ('{"op":"subscribe","topics":["alpha"],"max_rate":1000.1,"id":11}', 11, "invalid-field", "$.max_rate"),
        ('{"op":"subscribe","topics":["alpha"],"max_rate":"5","id":12}', 12, "invalid-field", "$.max_rate"),
        ('{"op":"unsubscribe","topics":["alpha"],"policy":"skip","id":13}', 13, "invalid-field", "$.policy"),
    ],
)  # fmt: skip
async def test_a_bad_request_gets_an_error_and_the_connection_lives_on(
    open_stream: Any, request_text: str | bytes, given_id: Any, problem: str, field: str | None
) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            await hear(client)
            await client.send(request_text)
            error = await hear(client)
            assert (error["type"], error.get("id"), error["problem"]) == ("error", given_id, type_uri(problem))
            assert error.get("field") == field
            assert error["detail"]
            assert await ask(client, op="ping", id=9) == {"type": "pong", "id": 9}
            assert stream.sessions.get(uuid).topic_names() == []  # all or nothing


@pytest.mark.parametrize("given", ['"\\u0041\\/"', "-0", "123456789012345678901234567890", '"\U0001f600"'])
async def test_an_id_comes_back_as_it_was_written(open_stream: Any, given: str) -> None:
    async with open_stream() as stream, connect(stream.url(stream.register())) as client:
        await hear(client)
        for request in ('"op":"ping"', '"op":"subscribe","topics":["alpha"]', '"op":"sell"'):
            await client.send(f'{{{request},"id":{given}}}')
            with trio.fail_after(5):
                while '"asset"' in (answer := await client.recv()):
                    pass
            assert f'"id":{given}' in answer


async def test_the_answer_comes_before_the_first_message(open_stream: Any, until: Any) -> None:
    async with open_stream() as stream:
        handle = stream.pump.asset_handle("alpha")
        async with connect(stream.url(stream.register())) as client:
            await hear(client)
            for turn in range(50):
                await client.send(json.dumps({"op": "subscribe", "topics": ["alpha"], "id": turn}))
                await until(lambda: stream.pump.broadcast(handle, b'{"type":"asset"}'))
                assert (await hear(client))["type"] == "subscribed"
                await client.send(json.dumps({"op": "unsubscribe", "topics": ["alpha"], "id": turn}))
                while (message := await hear(client))["type"] != "unsubscribed":
                    assert message["type"] == "asset"


async def test_whoever_subscribes_is_told_the_present_state(open_stream: Any) -> None:
    paused = {"type": "asset", "asset": "alpha", "state": "paused", "reason": "Paused"}
    failing = {"type": "asset", "asset": "beta", "state": "backoff", "reason": "Crashed", "detail": "exit code 1"}
    states = {message["asset"]: json.dumps(message).encode() for message in (paused, failing)}
    async with open_stream(assets=("alpha", "beta", "gamma"), states=states) as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            await hear(client)
            answer = await ask(client, op="subscribe", topics=["alpha:A", "alpha:B"])
            assert [answer["type"], await hear(client)] == ["subscribed", paused]
            stream.sessions.subscribe(uuid, ["beta", "gamma"])  # as over REST; nothing is known of gamma
            assert await hear(client) == failing
            assert (await ask(client, op="subscribe", topics=["alpha"]))["type"] == "subscribed"
            assert (await ask(client, op="ping"))["type"] == "pong", "alpha was wanted before"
        async with connect(stream.url(uuid)) as client:
            assert [(await hear(client))["type"], await hear(client), await hear(client)] == ["welcome", paused, failing]
            assert (await ask(client, op="ping"))["type"] == "pong"


async def test_the_choices_of_a_subscription_are_repeated_and_kept(open_stream: Any) -> None:
    async with open_stream() as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            assert "policies" not in await hear(client)
            answer = await ask(client, op="subscribe", topics=["alpha"], policy="skip", id=1)
            assert answer == {"type": "subscribed", "id": 1, "topics": ["alpha"], "policy": "skip"}
            answer = await ask(client, op="subscribe", topics=["beta"], policy="conflate", trades="conflate", max_rate=10)
            merging = {"policy": "conflate", "trades": "conflate", "max_rate": 10.0}
            assert answer == {"type": "subscribed", "topics": ["beta"], **merging}
            answer = await ask(client, op="subscribe", topics=["alpha"], policy="kill", trades="keep")
            assert answer == {"type": "subscribed", "topics": ["alpha"]}, "the plain choices go without saying"
        async with connect(stream.url(uuid)) as client:
            welcome = await hear(client)
            assert (welcome["topics"], welcome["policies"]) == (["alpha", "beta"], {"beta": merging})


async def test_whoever_is_half_behind_is_warned(open_stream: Any) -> None:
    limits = Limits(outbox_bytes=10_000, outbox_age_ms=700)
    async with open_stream(simulated=True, limits=limits) as stream, connect(stream.url(stream.register())) as client:
        await hear(client)
        (connection,) = stream.server.connections
        connection.told(HalfFull(outbox=0, queued_bytes=5001, oldest_ms=12))
        warning = await hear(client)
        assert warning.pop("detail")
        assert warning == {
            "type": "warning", "code": "slow_consumer", "queued_bytes": 5001, "max_bytes": 10_000, "oldest_ms": 12,
            "max_age_ms": 700, "simulated": True,
        }  # fmt: skip
        connection.close("unregistered")
        connection.told(HalfFull(outbox=0, queued_bytes=5001, oldest_ms=12))
        await expect_end(client, "unregistered")


async def test_in_simulation_every_message_says_so(open_stream: Any) -> None:
    async with open_stream(simulated=True) as stream:
        uuid = stream.register()
        async with connect(stream.url(uuid)) as client:
            heard = [
                await hear(client),
                await ask(client, op="subscribe", topics=["alpha"], id=1),
                await ask(client, op="ping"),
                await ask(client, op="nonsense"),
                await ask(client, op="unsubscribe", topics=["alpha"]),
            ]
            stream.sessions.unregister(uuid, origin="test")
            heard.append(await hear(client))
    assert [message["simulated"] for message in heard] == [True] * 6
    assert [message["type"] for message in heard][-1] == "goodbye"


async def test_pings_are_answered(open_stream: Any) -> None:
    async with open_stream() as stream, connect(stream.url(stream.register())) as client:
        pong = await client.ping(b"hello")
        with trio.fail_after(5):
            await pong.wait()


# --- who is let in ---


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


# --- how connections end ---


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


async def expect_end(client: ClientConnection, reason: str) -> dict[str, Any]:
    goodbye = await hear(client)
    closing = CLOSINGS[reason]
    assert (goodbye["type"], goodbye["code"], goodbye["close_code"]) == ("goodbye", reason, closing.close_code)
    assert goodbye["reconnect"] is closing.reconnect
    assert await ended(client) == (closing.close_code, reason)
    return goodbye


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


@pytest.mark.slow
async def test_a_thousand_come_at_once(open_stream: Any, until: Any) -> None:
    count = 1000
    async with open_stream() as stream:
        subscribe = masked(0x1, b'{"op":"subscribe","topics":["alpha"],"id":1}')

        async def come(uuid: str) -> None:
            async with await open_raw(stream, uuid, within_s=30) as raw:
                await raw.send_all(subscribe)
                seen = b""
                while b'"subscribed"' not in seen:
                    seen += await raw.receive_some()
                await gone.wait()

        uuids = [stream.register() for _ in range(count)]
        gone = trio.Event()
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for uuid in uuids:
                    nursery.start_soon(come, uuid)
                await until(lambda: stream.demand.wanted_by("alpha") == count)
                gone.set()
            await until(lambda: not stream.demand.wanted_by("alpha"))
