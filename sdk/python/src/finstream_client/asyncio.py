"""For asyncio: ``async for tick in connect(url).stream("binance:BTC/USDT")``."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from finstream_client._async_client import READ_BYTES, AsyncClient, Connection

__all__ = ["AsyncClient", "Client", "connect"]


class _Connection(Connection):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, timeout_s: float) -> bytes:
        await asyncio.sleep(0)  # what is there already is returned without one
        async with asyncio.timeout(timeout_s):
            return await self._reader.read(READ_BYTES)

    def drop(self) -> None:
        with suppress(RuntimeError):  # the event loop has ended before
            self._writer.close()


class _Network:
    def __init__(self) -> None:
        self._woken = asyncio.Event()

    async def dial(self, host: str, port: int, ssl_context: ssl.SSLContext | None, timeout_s: float) -> Connection:
        async with asyncio.timeout(timeout_s):
            return _Connection(*await asyncio.open_connection(host, port, ssl=ssl_context, limit=READ_BYTES))

    async def pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    def wake(self) -> None:
        self._woken.set()


class Client(AsyncClient):
    def _network_of_loop(self) -> _Network:
        return _Network()


connect = Client
