"""Many at once: nobody is turned away, nobody waits for somebody who is slow to ask, and an idle client costs little."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from stream_clients import masked, open_raw, upgrade

STORM = 2000
MOST_BYTES_A_CLIENT = 64 * 1024
"""Of this process's memory, the client's side included. Generous: what matters is that no buffer waits for each of them."""


def handshake(uuid: str) -> bytes:
    return upgrade(f"/v1/stream?client={uuid}")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def _enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * STORM + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"{needed} open files are more than this machine allows")
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def call(port: int, stack: ExitStack) -> trio.socket.SocketType:
    client = stack.enter_context(trio.socket.socket())
    await client.connect(("127.0.0.1", port))
    return client


async def welcomed(client: trio.socket.SocketType) -> None:
    heard = b""
    while b'"welcome"' not in heard:
        part = await client.recv(4096)
        assert part, f"turned away with {heard!r}"
        heard += part


@pytest.mark.slow
@pytest.mark.usefixtures("_enough_descriptors")
async def test_two_thousand_at_once_all_get_in_and_cost_little(open_stream: Any, until: Any) -> None:
    async with open_stream() as stream:
        uuids = [stream.register() for _ in range(STORM)]
        before = resident_bytes()
        with ExitStack() as stack:
            clients = []
            for _ in uuids:  # none of them is answered meanwhile: the listener's backlog holds them all
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", stream.port))
                clients.append(trio.socket.from_stdlib_socket(client))
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    for client, uuid in zip(clients, uuids, strict=True):
                        nursery.start_soon(come_in, client, uuid)
            assert len(stream.server.connections) == stream.pump.statistics().outboxes == STORM
            assert (resident_bytes() - before) / STORM < MOST_BYTES_A_CLIENT
        await until(lambda: not stream.server.connections)
        assert stream.pump.statistics().outboxes == 0


async def come_in(client: trio.socket.SocketType, uuid: str) -> None:
    await trio.lowlevel.wait_writable(client)
    await client.send(handshake(uuid))
    await welcomed(client)


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


async def test_who_is_slow_to_ask_keeps_nobody_waiting_and_is_dropped(open_stream: Any, until: Any) -> None:
    async with open_stream(surroundings={"handshake_s": 1.0}) as stream:
        with ExitStack() as stack, trio.fail_after(20):
            idlers = [await call(stream.port, stack) for _ in range(100)]
            for number, idler in enumerate(idlers):
                if number % 2:
                    await idler.send(handshake("x")[:number])
            await until(lambda: stream.pump.statistics().outboxes == 100)
            guest = await call(stream.port, stack)
            await guest.send(handshake(stream.register()))
            await welcomed(guest)
            for idler in idlers:
                with suppress(ConnectionResetError):
                    assert await idler.recv(100) == b""
            assert len(stream.server.connections) == 1
            assert stream.pump.statistics().outboxes == 1
