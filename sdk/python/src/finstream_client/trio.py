"""For Trio: ``async for tick in connect(url).stream("binance:BTC/USDT")``. Needs ``pip install
finstream-client[trio]``."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import trio

from finstream_client._async_client import READ_BYTES, AsyncClient, Connection

__all__ = ["AsyncClient", "Client", "connect"]

_T = TypeVar("_T")


class _Connection(Connection):
    def __init__(self, plain: trio.SocketStream, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self._plain = plain
        self._stream = stream
        self._turns = trio.Lock()

    async def send(self, data: bytes) -> None:
        async with self._turns:
            await _or_os_error(self._stream.send_all(data))

    async def receive(self, timeout_s: float) -> bytes:
        try:
            with trio.fail_after(timeout_s):
                return bytes(await _or_os_error(self._stream.receive_some(READ_BYTES)))
        except trio.TooSlowError:
            raise TimeoutError from None

    def drop(self) -> None:
        with suppress(RuntimeError):  # Trio has ended before
            self._plain.socket.close()


class _Network:
    def __init__(self) -> None:
        self._woken = trio.Event()

    async def dial(self, host: str, port: int, ssl_context: ssl.SSLContext | None, timeout_s: float) -> Connection:
        with trio.move_on_after(timeout_s):
            plain = await trio.open_tcp_stream(host, port)
            if ssl_context is None:
                return _Connection(plain, plain)
            try:
                encrypted = trio.SSLStream(plain, ssl_context, server_hostname=host)
                await _or_os_error(encrypted.do_handshake())
            except BaseException:
                plain.socket.close()
                raise
            return _Connection(plain, encrypted)
        raise TimeoutError

    async def pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()


async def _or_os_error(operation: Awaitable[_T]) -> _T:
    try:
        return await operation
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise OSError(str(error.__cause__ or error) or "the connection broke") from None


class Client(AsyncClient):
    def _network_of_loop(self) -> _Network:
        return _Network()


connect = Client
