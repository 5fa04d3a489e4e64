"""Encrypted clients, the acceptor that they shake hands with, and the pump that serves them."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from finstream.acceptor import HANDSHAKES_AT_ONCE, Certificate, Session, ShakeFailed, TlsAcceptor
from finstream.pump import Message, OutboxClosed, OutboxStatistics, PeerEvent, Pump, Requested
from finstream.vocabulary.policies import PLAIN, Policy

sys.path.insert(0, str(Path(__file__).parents[1] / "pump"))  # feeds and frames are the same as without TLS

WITHIN_S = 30.0
HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
WELCOME = b"hello"


class Inside:
    """A connection as the pump has it."""

    def __init__(self, pump: Pump, outbox: int) -> None:
        self.pump = pump
        self.outbox = outbox
        self.events: list[PeerEvent] = []

    def push(self, data: bytes, *, final: bool = False) -> bool:
        return self.pump.push(self.outbox, data, final=final)

    def subscribe(self, asset: int, policy: Policy = PLAIN) -> None:
        assert self.pump.subscribe(self.outbox, asset, None, policy)

    @property
    def messages(self) -> list[bytes]:
        return [event.payload for event in self.events if isinstance(event, Message)]

    @property
    def closed(self) -> OutboxClosed | None:
        return next((event for event in self.events if isinstance(event, OutboxClosed)), None)

    @property
    def statistics(self) -> OutboxStatistics:
        statistics = self.pump.outbox_statistics(self.outbox)
        assert statistics is not None
        return statistics

    def remove(self) -> OutboxStatistics | None:
        return self.pump.remove_outbox(self.outbox)


class Rig:
    def __init__(self, pump: Pump, acceptor: TlsAcceptor, port: int, trust: ssl.SSLContext) -> None:
        self.pump = pump
        self.acceptor = acceptor
        self.port = port
        self.trust = trust
        self.send_buffer: int | None = None
        """What the kernel may keep for each client to come, in bytes."""
        self.failures: list[ShakeFailed] = []
        self.accepting = trio.CancelScope()
        self.inside: dict[str, Inside] = {}
        self._opened: list[trio.SocketStream] = []

    def connected(self, fd: int, peer: str, session: Session) -> bool:
        if self.send_buffer is not None:
            with socket.socket(fileno=fd) as accepted:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
                accepted.detach()
        return self.pump.adopt(fd, peer, session) is not None

    def asked(self, request: Requested) -> None:
        assert request.head == HEAD
        inside = self.inside[request.peer] = Inside(self.pump, request.outbox)
        self.pump.welcome(request.outbox, inside.events.append)
        assert self.pump.take_up(request.outbox, WELCOME)

    def close(self) -> None:
        for stream in self._opened:
            stream.socket.close()
        for inside in self.inside.values():
            inside.remove()

    async def raw(self, *, receive_buffer: int | None = None) -> trio.SocketStream:
        unconnected = trio.socket.socket()
        if receive_buffer is not None:
            unconnected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await unconnected.connect(("127.0.0.1", self.port))
        stream = trio.SocketStream(unconnected)
        self._opened.append(stream)
        return stream

    async def client(self, raw: trio.SocketStream | None = None) -> trio.SSLStream[trio.SocketStream]:
        """One that has shaken hands, and said nothing yet."""
        stream = trio.SSLStream(raw or await self.raw(), self.trust, server_hostname="localhost")
        try:
            await stream.do_handshake()
        except BaseException:
            stream.transport_stream.socket.close()
            raise
        return stream

    async def pair(self, raw: trio.SocketStream | None = None) -> tuple[trio.SSLStream[trio.SocketStream], Inside]:
        """One that was let in, and the same from inside."""
        client = await self.client(raw)
        await client.send_all(HEAD)
        heard = b""
        while len(heard) < len(WELCOME):
            heard += await client.receive_some(len(WELCOME) - len(heard))
        assert heard == WELCOME
        return client, self.inside["{}:{}".format(*client.transport_stream.socket.getsockname())]


@pytest.fixture
def open_rig(certificate: Any) -> Callable[..., Any]:
    """The settings are those of :meth:`Pump.listen`."""

    @asynccontextmanager
    async def opened(*, most_handshakes: int = HANDSHAKES_AT_ONCE, **settings: Any) -> AsyncIterator[Rig]:
        files = certificate
        shown = Certificate(str(files.cert).encode(), str(files.key).encode())
        settings = {"most_connections": 1000, "leaving_s": 0.5, "max_bytes": 1 << 26, "max_age_ms": 60_000, **settings}
        acceptor = TlsAcceptor(
            shown,
            most_connections=settings["most_connections"],
            handshake_s=settings.get("handshake_s", 10.0),
            most_handshakes=most_handshakes,
        )
        pump = Pump()
        with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
            listener.setblocking(False)
            rig = Rig(pump, acceptor, listener.getsockname()[1], files.client_context())
            with trio.fail_after(WITHIN_S):
                async with trio.open_nursery() as nursery:

                    async def accept(task_status: trio.TaskStatus[None]) -> None:
                        with rig.accepting:
                            await acceptor.run(
                                listener.fileno(), rig.connected, rig.failures.append, pump.count_connections,
                                task_status=task_status,
                            )  # fmt: skip

                    await nursery.start(pump.run)
                    pump.listen(None, rig.asked, **settings)
                    await nursery.start(accept)
                    yield rig
                    acceptor.stop()
                    pump.stop_listening()
                    rig.close()
                    pump.stop()
        assert acceptor.statistics().shaking == 0
        assert pump.encryption().open == pump.count_connections()

    return opened


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    async def wait(condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.002)

    return wait
