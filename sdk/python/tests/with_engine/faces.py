"""The SDK's three faces, each as the runner needs it: read into a trace without pause, take requests meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import trio

import finstream_client
import finstream_client.asyncio
import finstream_client.trio
from finstream_client import Ended, FinStreamError

from .trace import Trace


def recorded(item: Any) -> dict[str, Any]:
    raw = item if isinstance(item, bytes) else getattr(item, "raw", None)
    told: dict[str, Any] = msgspec.to_builtins(item) if raw is None else json.loads(raw)
    return told


def ended(error: FinStreamError) -> dict[str, Any]:
    return {"notice": "ended", "code": error.code if isinstance(error, Ended) else type(error).__name__, "detail": str(error)}


class Face(Protocol):
    """A client that is read from until :meth:`close`."""

    def __init__(self, trace: Trace, topics: list[str], choices: dict[str, Any], options: dict[str, Any]) -> None: ...

    def subscribe(self, topics: list[str], choices: dict[str, Any]) -> None: ...

    def unsubscribe(self, topics: list[str]) -> None: ...

    def close(self) -> None: ...


class SyncFace:
    def __init__(self, trace: Trace, topics: list[str], choices: dict[str, Any], options: dict[str, Any]) -> None:
        self._client = finstream_client.connect(**options)

        def read() -> None:
            try:
                for item in self._client.messages(*topics, **choices):
                    trace.add(recorded(item))
            except FinStreamError as error:
                trace.add(ended(error))

        self._thread = threading.Thread(target=read, daemon=True)
        self._thread.start()

    def subscribe(self, topics: list[str], choices: dict[str, Any]) -> None:
        self._client.subscribe(*topics, **choices)

    def unsubscribe(self, topics: list[str]) -> None:
        self._client.unsubscribe(*topics)

    def close(self) -> None:
        self._client.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


class _AsyncFace:
    """An event loop in a thread of its own, which ends when :meth:`close` has closed the client."""

    def __init__(self, trace: Trace, topics: list[str], choices: dict[str, Any], options: dict[str, Any]) -> None:
        self._trace, self._topics, self._choices, self._options = trace, topics, choices, options
        self._client: Any
        self._closed: Any
        self._post: Callable[..., Any]
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    def _run(self) -> None:
        raise NotImplementedError

    async def _read(self) -> None:
        self._started.set()
        try:
            async for item in self._client.messages(*self._topics, **self._choices):
                self._trace.add(recorded(item))
        except FinStreamError as error:
            self._trace.add(ended(error))
        await self._closed.wait()

    async def _close(self) -> None:
        await self._client.aclose()
        self._closed.set()

    def subscribe(self, topics: list[str], choices: dict[str, Any]) -> None:
        self._post(self._client.subscribe, topics, choices)

    def unsubscribe(self, topics: list[str]) -> None:
        self._post(self._client.unsubscribe, topics, {})

    def close(self) -> None:
        self._post(self._close, [], {})
        self._thread.join(10)
        assert not self._thread.is_alive()


class AsyncioFace(_AsyncFace):
    def _run(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            self._post = lambda call, topics, choices: asyncio.run_coroutine_threadsafe(call(*topics, **choices), loop).result(10)
            self._client, self._closed = finstream_client.asyncio.connect(**self._options), asyncio.Event()
            await self._read()

        asyncio.run(main())


class TrioFace(_AsyncFace):
    def _run(self) -> None:
        async def main() -> None:
            token = trio.lowlevel.current_trio_token()

            def post(call: Any, topics: list[str], choices: dict[str, Any]) -> None:
                async def called() -> None:
                    await call(*topics, **choices)

                trio.from_thread.run(called, trio_token=token)

            self._post = post
            self._client, self._closed = finstream_client.trio.connect(**self._options), trio.Event()
            await self._read()

        trio.run(main)


class RawFace(SyncFace):
    """What is read as bytes is checked as well."""

    def __init__(self, trace: Trace, topics: list[str], choices: dict[str, Any], options: dict[str, Any]) -> None:
        self._client = finstream_client.connect(**options, on_event=lambda item: trace.add(recorded(item)))

        def read() -> None:
            try:
                for raw in self._client.raw(*topics, **choices):
                    trace.add(recorded(raw))
            except FinStreamError as error:
                trace.add(ended(error))

        self._thread = threading.Thread(target=read, daemon=True)
        self._thread.start()


FACES: dict[str, type[Face]] = {"sync": SyncFace, "asyncio": AsyncioFace, "trio": TrioFace, "raw": RawFace}
