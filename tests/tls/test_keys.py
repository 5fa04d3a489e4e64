"""New keys in the middle of a connection (TLS 1.3, KeyUpdate). Python's ssl cannot make them, so this client is OpenSSL's own."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio
from clients import PING, TEXT, frame

REQUESTED = 1
"""SSL_KEY_UPDATE_REQUESTED: the other side shall take a new key, too."""


class Client:
    """Blocks: use it in a thread."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        library = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(library, name).restype = ctypes.c_void_p
        self._library = library
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect(("127.0.0.1", port))
        self.name = "{}:{}".format(*self._socket.getsockname())
        context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        self._ssl = ctypes.c_void_p(library.SSL_new(context))
        library.SSL_CTX_free(context)
        assert library.SSL_set_fd(self._ssl, self._socket.fileno()) == 1
        assert library.SSL_connect(self._ssl) == 1

    def send(self, data: bytes) -> None:
        assert self._library.SSL_write(self._ssl, data, len(data)) == len(data)

    def receive(self, most: int = 65536) -> bytes:
        """Empty at the end."""
        data = ctypes.create_string_buffer(most)
        got = self._library.SSL_read(self._ssl, data, most)
        return data.raw[: max(0, got)]

    def update_keys(self) -> bool:
        """False: the connection is gone."""
        return self._library.SSL_key_update(self._ssl, REQUESTED) == 1 and self._library.SSL_do_handshake(self._ssl) == 1

    def close(self) -> None:
        self._library.SSL_free(self._ssl)
        self._socket.close()


async def come_in(rig: Any, **options: Any) -> tuple[Client, Any]:
    client = await trio.to_thread.run_sync(lambda: Client(rig.port, **options))
    await trio.to_thread.run_sync(client.send, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert await trio.to_thread.run_sync(client.receive) == b"hello"
    return client, rig.inside[client.name]


async def test_the_stream_goes_on_with_new_keys(open_rig: Any, until: Any) -> None:
    def talk(client: Client, say: Callable[[bytes], None]) -> bytes:
        heard = b""
        for number in range(50):
            assert client.update_keys()
            client.send(frame(TEXT, b"%d" % number))
            say(b"<%d>" % number)
            while not heard.endswith(b"<%d>" % number):
                heard += client.receive()
        return heard

    async with open_rig() as rig:
        client, inside = await come_in(rig)
        heard = await trio.to_thread.run_sync(talk, client, lambda data: trio.from_thread.run_sync(inside.push, data))
        assert heard == b"".join(b"<%d>" % number for number in range(50))
        await until(lambda: len(inside.messages) == 50)
        assert inside.messages == [b"%d" % number for number in range(50)]
        client.close()


async def test_new_keys_while_sealed_bytes_wait(open_rig: Any, until: Any) -> None:
    """The answer goes behind what is sealed already, and before what is not."""
    sent = bytes(range(256)) * 4000
    async with open_rig() as rig:
        rig.send_buffer = 4096
        client, inside = await come_in(rig, receive_buffer=4096)
        inside.push(sent[:500_000])
        assert inside.statistics.queued_bytes > 100_000

        def renew() -> None:
            for _ in range(5):
                assert client.update_keys()
            client.send(frame(TEXT, b"renewed"))

        await trio.to_thread.run_sync(renew)
        await until(lambda: inside.messages == [b"renewed"])
        inside.push(sent[500_000:])

        def hear() -> bytes:
            heard = b""
            while len(heard) < len(sent):
                heard += client.receive()
            return heard

        assert await trio.to_thread.run_sync(hear) == sent
        client.close()


@pytest.mark.parametrize("pinging", [False, True])
async def test_nothing_but_new_keys_is_refused_in_the_end(open_rig: Any, until: Any, pinging: bool) -> None:
    """Each is work for us and takes the client nothing. Who talks meanwhile may have as many as he likes."""

    def renew(client: Client) -> int:
        for number in range(400):
            if pinging:
                client.send(frame(PING, b"still there"))
            if not client.update_keys():
                return number
        return 400

    async with open_rig() as rig:
        client, inside = await come_in(rig)
        other, inside_other = await rig.pair()
        renewed = await trio.to_thread.run_sync(renew, client)
        if pinging:
            assert renewed == 400
            assert inside.closed is None
        else:
            await until(lambda: inside.closed)
            assert inside.closed.reason == "connection_lost"
        inside_other.push(b"harms nobody")
        assert await other.receive_some(100) == b"harms nobody"
        client.close()
