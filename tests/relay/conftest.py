"""A relay with TLS clients on one side, and on the other, what the pump would be given."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from finstream.relay import Certificate, Relay, ShakeFailed

WITHIN_S = 20.0


class Rig:
    def __init__(self, relay: Relay, port: int, trust: ssl.SSLContext) -> None:
        self.relay = relay
        self.port = port
        self.trust = trust
        self.failures: list[ShakeFailed] = []
        self.running = trio.CancelScope()
        self._opened: list[trio.SocketStream] = []
        self._send, self._connected = trio.open_memory_channel[tuple[trio.SocketStream, str]](100_000)

    def connected(self, fd: int, peer: str) -> bool:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=fd)))
        self._opened.append(stream)
        self._send.send_nowait((stream, peer))
        return True

    def close(self) -> None:
        for stream in self._opened:
            stream.socket.close()

    async def raw(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self._opened.append(stream)
        return stream

    async def client(self, raw: trio.SocketStream | None = None) -> trio.SSLStream[trio.SocketStream]:
        stream = trio.SSLStream(raw or await self.raw(), self.trust, server_hostname="localhost")
        try:
            await stream.do_handshake()
        except BaseException:
            stream.transport_stream.socket.close()
            raise
        return stream

    async def inside(self) -> trio.SocketStream:
        """What the next connection looks like to the pump."""
        return (await self._connected.receive())[0]

    async def pair(self) -> tuple[trio.SSLStream[trio.SocketStream], trio.SocketStream]:
        client = await self.client()
        inside, peer = await self._connected.receive()
        assert peer == "{}:{}".format(*client.transport_stream.socket.getsockname())
        return client, inside


@pytest.fixture
def open_relay(certificate: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Rig]:
        files = certificate
        shown = Certificate(str(files.cert).encode(), str(files.key).encode())
        relay = Relay(shown, **{"most_connections": 1000, "leaving_s": 0.5, **options})
        with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
            listener.setblocking(False)
            rig = Rig(relay, listener.getsockname()[1], files.client_context())
            with trio.fail_after(WITHIN_S):
                async with trio.open_nursery() as nursery:

                    async def run(task_status: trio.TaskStatus[None]) -> None:
                        with rig.running:
                            await relay.run(listener.fileno(), rig.connected, rig.failures.append, task_status=task_status)

                    await nursery.start(run)
                    yield rig
                    relay.stop()
            rig.close()
        left = relay.statistics()
        assert (left.open, left.shaking) == (0, 0)

    return opened


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    async def wait(condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.002)

    return wait
