"""The asynchronous client. What differs between asyncio and Trio is behind :class:`Network`; see those two modules."""

from __future__ import annotations

import ssl
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from finstream_client._face import Face
from finstream_client._iteration import Iteration
from finstream_client._session import Item
from finstream_client._steps import Call, Dial, Exchange, Pause
from finstream_client._telling import raws_of, ticks_of
from finstream_client.errors import Closed, FinStreamError, Unreachable
from finstream_client.messages import Choices, Tick
from finstream_client.rest import AsyncRest, refusal_of

__all__ = ["READ_BYTES", "AsyncClient", "Connection", "Network"]

READ_BYTES = 1 << 18
_LAST_WORDS_S = 1.0

_T = TypeVar("_T")


class Connection(ABC):
    """One connection of an event loop. OSError stands for whatever breaks it."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Tasks that send at the same time take turns. Cancelled, it may have sent a part."""

    @abstractmethod
    async def receive(self, timeout_s: float) -> bytes:
        """At least one byte, or none at the end. Raises TimeoutError. A checkpoint, always."""

    @abstractmethod
    def drop(self) -> None:
        """Close it at once, whoever uses it."""


class Network(Protocol):
    """What a client needs of an event loop. ``pause`` ends early when ``wake`` is called."""

    async def dial(self, host: str, port: int, ssl_context: ssl.SSLContext | None, timeout_s: float) -> Connection: ...

    async def pause(self, seconds: float) -> None: ...

    def wake(self) -> None: ...


class AsyncClient(Face):
    """A subscriber; ``connect`` is the name of the one for an event loop.

    There is a connection while somebody iterates, and nothing is read ahead: who stops to iterate, stops to receive.
    One iteration at a time; other tasks may call the other methods meanwhile. ``rest`` are the REST requests. Leaving
    its context closes it.
    """

    @abstractmethod
    def _network_of_loop(self) -> Network: ...

    def _prepare(self, url: str, ssl_context: ssl.SSLContext | None) -> None:
        self._network = self._network_of_loop()
        self._connection: Connection | None = None
        self._closed = False
        self._loop: Callable[[], Iteration[Any] | None] = lambda: None
        """The iteration, if somebody still holds it."""
        self.rest = AsyncRest(url, ssl_context=ssl_context, timeout_s=self._timeout_s)

    # --- subscriptions ---

    async def subscribe(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> None:
        """Want these topics too, from now on and at every connection. Whether the engine takes them shows in the
        messages."""
        self._session.subscribe(topics, Choices(policy, trades, max_rate))
        await self._flush()

    async def unsubscribe(self, *topics: str) -> None:
        self._session.unsubscribe(topics)
        await self._flush()

    # --- messages ---

    def stream(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> Iteration[Tick]:
        """The ticks of these topics, which end with the loop, and of those of :meth:`subscribe`, for as long as the
        engine lets us; everything else goes to ``on_event``.

        Raises:
          Refused: A topic, or we, are not taken.
          Ended: The engine sent us away for good; another loop of this client raises it as well.
          Unreachable: At the first connection no engine answered; later that is retried.
          ProtocolViolation: It is no engine.
          Closed: This client was closed before the loop began.
        """
        return self._iterate(topics, Choices(policy, trades, max_rate), lambda items: ticks_of(items, self._tell))

    def raw(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> Iteration[bytes]:
        """As :meth:`stream`, but every numbered message, as the JSON that the engine sent; several times faster."""
        return self._iterate(topics, Choices(policy, trades, max_rate), lambda items: raws_of(items, self._tell), raw=True)

    def messages(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> Iteration[Item]:
        """Everything in order: ticks, other data, the engine's control messages, and our own notices. Raises as
        :meth:`stream`, but an error of the engine is a message here."""
        return self._iterate(topics, Choices(policy, trades, max_rate), lambda items: iter(_typed(items)))

    def batches(
        self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None
    ) -> Iteration[list[Item]]:
        """As :meth:`messages`, a list of what came at a time."""
        return self._iterate(topics, Choices(policy, trades, max_rate), lambda items: iter([_typed(items)]))

    def _iterate(
        self,
        topics: tuple[str, ...],
        choices: Choices,
        pick: Callable[[list[Item | bytes]], Iterator[_T]],
        *,
        raw: bool = False,
    ) -> Iteration[_T]:
        return Iteration(partial(self._begin, topics, choices, raw), self._next, self._end, pick)

    def _begin(self, topics: tuple[str, ...], choices: Choices, raw: bool, loop: Iteration[Any]) -> None:
        if self._closed:
            raise Closed
        if self._iterating:
            if self._loop() is not None:
                raise RuntimeError(
                    "this client is being iterated over already: use one client for each loop, or end the other one "
                    "first, by `async with aclosing(client.stream(…)) as ticks`"
                )
            self._end()
        self._session.begin(topics, choices)
        self._session.inbox.raw = raw
        self._loop = weakref.ref(loop)
        self._iterating = True

    async def _next(self) -> list[Item | bytes]:
        """What came, or nothing: the client was closed."""
        while not self._closed:
            items = self._session.take()
            if items:
                return items
            await self._do_step()
        return []

    def _end(self) -> None:
        self._iterating = False
        self._session.leave()
        self._drop()

    # --- its life ---

    async def aclose(self) -> None:
        """End the iteration, if there is one, and unregister the client unless its UUID was given."""
        if self._closed:
            return
        self._closed = True
        uuid = self._session.uuid
        try:
            self._session.leave()
            await self._flush()
            self._drop()
            if uuid is not None and self._session.is_ours:
                with suppress(FinStreamError):  # the engine forgets it by itself after a while
                    await self.rest.send("DELETE", self.rest.path("v1", "clients", uuid), timeout_s=_LAST_WORDS_S)
        finally:
            self._drop()
            self._network.wake()
            await self.rest.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- steps ---

    async def _do_step(self) -> None:
        session, step = self._session, self._session.step
        if not isinstance(step, Exchange):
            self._drop()
        try:
            match step:
                case Exchange():
                    await self._exchange(step.timeout_s)
                case Call():
                    answer = await self.rest.send(step.method, step.path, body=step.body, timeout_s=step.timeout_s)
                    session.answered(answer.status_code, answer.content, lambda: refusal_of(answer))
                case Dial():
                    self._connection = await self._dial()
                    session.dialled()
                case Pause():
                    await self._network.pause(step.seconds)
                    session.waited()
        except Unreachable as error:
            if not self._closed:
                session.failed(error)

    async def _dial(self) -> Connection:
        try:
            return await self._network.dial(self._at.host, self._at.port, self._ssl, self._timeout_s)
        except OSError as error:
            raise Unreachable(self._at.stream, str(error) or "no answer in time") from None

    async def _exchange(self, timeout_s: float) -> None:
        await self._flush()
        try:
            if self._connection is None:
                raise OSError("the connection broke")
            data = await self._connection.receive(timeout_s)
        except TimeoutError:
            raise Unreachable(self._at.stream, f"silent for {timeout_s:g} s") from None
        except OSError as error:
            raise Unreachable(self._at.stream, str(error)) from None
        if not self._closed:
            self._session.received(data)
            await self._flush()

    async def _flush(self) -> None:
        data, connection = self._session.data_to_send(), self._connection
        if not data or connection is None:
            return
        try:
            await connection.send(data)
        except OSError:
            pass  # reading will tell
        except BaseException:  # cancelled: nobody knows how much was sent
            connection.drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None


def _typed(items: list[Item | bytes]) -> list[Item]:
    return [item for item in items if not isinstance(item, bytes)]
