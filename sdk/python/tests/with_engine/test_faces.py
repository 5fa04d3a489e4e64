"""What each face does beyond the scenarios: how a loop begins and ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import aclosing, closing
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
import trio

import finstream_client
import finstream_client.asyncio
import finstream_client.trio
from finstream_client import AsyncRest, Closed, Refused, Rest, Subscribed, Symbol, Tick, Unreachable, to_polars

from .engine import Engine, free_ports


def sync_client(engine: Engine, **options: Any) -> finstream_client.Client:
    return finstream_client.connect(engine.public_url, stream_url=engine.stream_url, **options)


def state_of(engine: Engine, uuid: str) -> str:
    with Rest(engine.public_url) as rest:
        try:
            return rest.client(uuid).state
        except Refused as refusal:
            return refusal.problem


def until(engine: Engine, uuid: str, state: str) -> None:
    for _ in range(1000):
        if state_of(engine, uuid) == state:
            return
    raise AssertionError(state_of(engine, uuid))


def run(face: str, main: Callable[[Any], Any]) -> None:
    """``main`` gets the module of the face."""
    if face == "asyncio":
        asyncio.run(main(finstream_client.asyncio))
    else:
        trio.run(main, finstream_client.trio)


def test_a_loop(engine: Engine) -> None:
    client = sync_client(engine)
    ticks = list(islice(client.stream("tick:S0"), 5))
    assert all(isinstance(tick, Tick) and tick.symbol == "S0" and tick.price == Decimal(tick.trade_id or 0) for tick in ticks)
    assert client.uuid is not None
    assert len(to_polars(ticks)) == 5
    until(engine, client.uuid, "waiting")  # leaving the loop closed the connection
    client.subscribe("tick:S0")
    assert next(client.stream()).symbol == "S0"
    assert next(client.stream()).symbol == "S0"  # and what was subscribed to is back in the next one
    client.close()
    assert state_of(engine, client.uuid) == "unknown-client"
    client.close()
    with pytest.raises(Closed, match="this client is closed") as caught:
        next(client.stream("tick"))
    assert caught.value.code == "closed"


def test_a_loop_in_one_line_leaves_nothing_open(engine: Engine) -> None:
    for tick in sync_client(engine).stream("tick"):
        assert tick.simulated
        break
    gc.collect()  # a socket that was left open would warn


def test_raw(engine: Engine) -> None:
    with sync_client(engine) as client:
        (raw,) = islice(client.raw("tick"), 1)
        assert raw.startswith(b'{"type":"tick"')
        assert isinstance(next(client.stream("tick")), Tick)


def test_a_given_uuid_is_kept(engine: Engine) -> None:
    with Rest(engine.public_url) as rest:
        uuid = rest.send("POST", "/v1/clients").json()["uuid"]
        rest.send("PUT", f"/v1/clients/{uuid}/subscriptions", body=b'{"topics":["tick"]}')
    with sync_client(engine, uuid=uuid) as client:
        assert next(client.stream()).asset == "tick"
    assert state_of(engine, uuid) in ("connected", "waiting")


def test_a_topic_that_is_refused(engine: Engine) -> None:
    with sync_client(engine) as client, pytest.raises(Refused, match="unknown-asset") as caught:
        next(client.stream("tick", "binanse"))
    assert caught.value.field == "$.topics[1]"
    with sync_client(engine) as client, pytest.raises(Refused, match="unknown-asset"):
        next(client.raw("binanse"))


def test_nobody_there() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unreachable, match=str(port)):
        next(finstream_client.connect(f"http://127.0.0.1:{port}").stream("tick"))


def test_one_loop_at_a_time(engine: Engine) -> None:
    with sync_client(engine) as client:
        first = client.stream("tick")
        next(first)
        with pytest.raises(RuntimeError, match="one client for each loop"):
            next(client.stream("tick"))
        assert next(first)


def test_another_thread_ends_a_loop(engine: Engine) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads get into each other's way more often
    try:
        for _ in range(40):
            client = sync_client(engine)
            subscribed = threading.Event()
            thread = threading.Thread(
                target=lambda client=client, subscribed=subscribed: [
                    subscribed.set() for item in client.messages("tick") if isinstance(item, Subscribed)
                ]
            )
            thread.start()
            assert subscribed.wait(10)
            client.close()
            thread.join(10)
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(interval)


def test_what_nobody_takes_is_logged(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "finstream_client"), sync_client(engine) as client:
        next(client.stream("tick"))
    assert any(record.message.startswith("registered: uuid=") for record in caplog.records)
    assert not any(record.levelno >= logging.WARNING for record in caplog.records)


def test_rest(engine: Engine) -> None:
    with Rest(engine.public_url) as rest:
        (asset,) = rest.assets()
        assert (asset.name, asset.origin) == ("tick", "synthetic")
        assert rest.asset("tick").statistics is not None
        assert [row.asset for row in rest.arena()] == ["tick"]
        with pytest.raises(Refused, match="unknown-asset"):
            rest.asset("tock")
        with pytest.raises(Refused):
            rest.asset("tock/../tick")


@pytest.mark.parametrize("face", ["asyncio", "trio"])
def test_rest_on_an_event_loop(engine: Engine, face: str) -> None:
    async def main(module: Any) -> None:
        async with AsyncRest(engine.public_url) as rest:
            assert [asset.name for asset in await rest.assets()] == ["tick"]
            assert (await rest.asset("tick")).name == "tick"
            assert [row.asset for row in await rest.arena("S0")] in ([], ["tick"])
            async with aclosing(module.connect(engine.public_url, stream_url=engine.stream_url).stream("tick:S1")) as ticks:
                await anext(ticks)
            assert await rest.symbols() == [Symbol(symbol="S0", assets=["tick"]), Symbol(symbol="S1", assets=["tick"])]
            assert [row.asset for row in await rest.symbol("S1")] == ["tick"]
            with pytest.raises(Refused) as refused:
                await rest.symbol("S/2")
            assert refused.value.problem == "unknown-symbol"

    run(face, main)


def test_rest_of_symbols(engine: Engine) -> None:
    with closing(sync_client(engine).stream("tick:S1")) as ticks:
        next(ticks)
    with Rest(engine.public_url) as rest:
        assert [each.symbol for each in rest.symbols()] == ["S0", "S1"]
        assert [row.rank for row in rest.symbol("S0")] == [1]
        with pytest.raises(Refused, match="DOGE-USDT"):
            rest.symbol("DOGE/USDT")


@pytest.mark.parametrize("face", ["asyncio", "trio"])
def test_an_event_loop(engine: Engine, face: str) -> None:
    uuids = []

    async def main(module: Any) -> None:
        async with module.connect(engine.public_url, stream_url=engine.stream_url) as client:
            got = []
            async with aclosing(client.stream("tick:S0")) as ticks:
                async for tick in ticks:
                    got.append(tick)
                    if len(got) == 3:
                        await client.subscribe("tick:S1")
                    if tick.symbol == "S1":
                        break
            uuids.append(client.uuid)
            async with aclosing(client.raw()) as raws:
                async for raw in raws:
                    assert isinstance(raw, bytes)
                    break

    run(face, main)
    assert state_of(engine, uuids[0]) == "unknown-client"


def test_cancelled_by_trio(engine: Engine) -> None:
    async def main() -> None:
        client = finstream_client.trio.connect(engine.public_url, stream_url=engine.stream_url)
        with trio.CancelScope() as scope:
            async with client, aclosing(client.messages("tick")) as messages:
                async for item in messages:
                    if isinstance(item, Tick):
                        scope.cancel()
        assert scope.cancelled_caught

    trio.run(main)


def test_cancelled_by_asyncio(engine: Engine) -> None:
    async def main() -> None:
        ticked = asyncio.Event()

        async def read() -> None:
            async with finstream_client.asyncio.connect(engine.public_url, stream_url=engine.stream_url) as client:
                async for _ in client.stream("tick"):
                    ticked.set()

        task = asyncio.create_task(read())
        await asyncio.wait_for(ticked.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_second_loop_that_is_refused_leaves_the_first_as_it_was(engine: Engine) -> None:
    with sync_client(engine) as client:
        first = client.raw("tick")
        next(first)
        for second in (client.raw("tick"), client.messages("tick")):
            with pytest.raises(RuntimeError, match="one client for each loop"):
                next(second)
        assert all(isinstance(raw, bytes) for raw in islice(first, 50))


@pytest.mark.parametrize("face", ["asyncio", "trio"])
def test_a_second_loop_on_an_event_loop(engine: Engine, face: str) -> None:
    async def main(module: Any) -> None:
        async with module.connect(engine.public_url, stream_url=engine.stream_url) as client, aclosing(client.raw("tick")) as first:
            await anext(first)
            for second in (client.raw("tick"), client.messages("tick")):
                with pytest.raises(RuntimeError, match="one client for each loop"):
                    await anext(second)
            for _ in range(50):
                assert isinstance(await anext(first), bytes)
        with pytest.raises(Closed):
            await anext(client.stream("tick"))

    run(face, main)


@pytest.mark.parametrize("face", ["asyncio", "trio"])
def test_leaving_a_loop_on_an_event_loop_ends_it_at_once(engine: Engine, face: str) -> None:
    async def fail(client: Any) -> None:
        async for _ in client.raw("tick"):
            raise KeyError

    async def main(module: Any) -> None:
        async with module.connect(engine.public_url, stream_url=engine.stream_url) as client:
            async for tick in client.stream("tick:S0"):
                assert tick.symbol == "S0"
                break
            with pytest.raises(KeyError):
                await fail(client)
            async for item in client.messages("tick:S1"):
                if isinstance(item, Tick):
                    break
            assert client._connection is None
            held = client.stream("tick")
            await anext(held)
            with pytest.raises(RuntimeError, match="aclosing"):
                await anext(client.stream("tick"))
            await held.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(held)
            assert isinstance(await anext(client.stream("tick")), Tick)
        gc.collect()  # a socket or a generator that was left behind would warn

    run(face, main)


@pytest.mark.parametrize("face", ["asyncio", "trio"])
def test_a_loop_that_another_thread_lets_go(engine: Engine, face: str) -> None:
    """The next one ends it, in the thread that may."""

    async def main(module: Any) -> None:
        async with module.connect(engine.public_url, stream_url=engine.stream_url) as client:
            held = [client.stream("tick")]
            await anext(held[0])
            thread = threading.Thread(target=held.clear)
            thread.start()
            thread.join()
            assert client._connection is not None
            assert isinstance(await anext(client.stream("tick")), Tick)

    run(face, main)


def test_cancelled_while_it_waits_for_the_next(engine: Engine) -> None:
    async def main() -> None:
        async with finstream_client.trio.connect(engine.public_url, stream_url=engine.stream_url) as client:
            loop = client.raw("tick")
            await anext(loop)
            with trio.CancelScope() as scope:
                scope.cancel()
                while True:
                    await anext(loop)
            assert client._connection is None
            with pytest.raises(StopAsyncIteration):
                await anext(loop)
            assert isinstance(await anext(client.stream("tick")), Tick)

    trio.run(main)


def test_topics_of_a_loop_end_with_it(engine: Engine) -> None:
    with sync_client(engine) as client:
        for symbol in ("S0", "S1", "S0"):
            ticks = list(islice(client.stream(f"tick:{symbol}"), 20))
            assert {tick.symbol for tick in ticks} == {symbol}
        client.subscribe("tick:S1")
        assert {tick.symbol for tick in islice(client.stream("tick:S0"), 20)} == {"S0", "S1"}
        assert {tick.symbol for tick in islice(client.stream(), 20)} == {"S1"}


@pytest.mark.parametrize("face", ["asyncio", "trio"])
def test_topics_of_a_loop_end_with_it_on_an_event_loop(engine: Engine, face: str) -> None:
    async def main(module: Any) -> None:
        async with module.connect(engine.public_url, stream_url=engine.stream_url) as client:
            for symbol in ("S0", "S1", "S0"):
                loop = client.stream(f"tick:{symbol}")
                assert {(await anext(loop)).symbol for _ in range(20)} == {symbol}
                del loop

    run(face, main)


def test_topics_that_the_engine_had_before_outlive_a_loop(engine: Engine) -> None:
    with Rest(engine.public_url) as rest:
        uuid = rest.send("POST", "/v1/clients").json()["uuid"]
        rest.send("PUT", f"/v1/clients/{uuid}/subscriptions", body=b'{"topics":["tick:S0"]}')
    with sync_client(engine, uuid=uuid) as client:
        assert {tick.symbol for tick in islice(client.stream("tick:S0", "tick:S1"), 20)} == {"S0", "S1"}
        assert {tick.symbol for tick in islice(client.stream(), 20)} == {"S0"}
