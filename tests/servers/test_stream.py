"""The stream as its clients meet it: what they ask and what they are answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from stream_clients import ask, expect_end, hear
from websockets.trio.client import connect

from finstream.pump import HalfFull
from finstream.vocabulary.problems import type_uri
from finstream.vocabulary.settings import Limits


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
        ('{"op":"subscribe","topics":["alpha"],"topics":["beta"],"id":7}', 7, "invalid-field", "$.topics"),
        ('{"op":"ping","id":1,"id":2}', 2, "invalid-field", "$.id"),
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
