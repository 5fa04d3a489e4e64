"""For programs that block: ``for tick in connect(url).stream("binance:BTC/USDT")``."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Self

from finstream_client._face import Face
from finstream_client._session import Item
from finstream_client._steps import Call, Dial, Exchange, Pause
from finstream_client._telling import raws_of, ticks_of
from finstream_client._turns import Turns
from finstream_client.errors import Closed, FinStreamError, Unreachable
from finstream_client.messages import Choices, Tick
from finstream_client.rest import Rest, refusal_of

__all__ = ["Client", "connect"]

_READ_BYTES: Final = 1 << 18
_LAST_WORDS_S: Final = 1.0


class Client(Face):
    """A subscriber; ``connect`` is another name of this class.

    There is a connection while somebody iterates, and nothing is read ahead: who stops to iterate, stops to receive.
    One iteration at a time. The other methods may be called meanwhile, from other threads too. ``rest`` are the REST
    requests.
    """

    def _prepare(self, url: str, ssl_context: ssl.SSLContext | None) -> None:
        self._turns = Turns()
        self._closed = False
        self._woken: SimpleQueue[None] = SimpleQueue()  # an Event has a lock, which a signal's handler may find taken
        self._socket: socket.socket | None = None
        self.rest = Rest(url, ssl_context=ssl_context, timeout_s=self._timeout_s)

    # --- subscriptions ---

    def subscribe(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> None:
        """Want these topics too, from now on and at every connection. Whether the engine takes them shows in the
        messages."""
        with self._turns.at_work(), self._turns.lock:
            self._session.subscribe(topics, Choices(policy, trades, max_rate))
            self._flush()

    def unsubscribe(self, *topics: str) -> None:
        with self._turns.at_work(), self._turns.lock:
            self._session.unsubscribe(topics)
            self._flush()

    # --- messages ---

    def stream(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> Iterator[Tick]:
        """The ticks of these topics, which end with the loop, and of those of :meth:`subscribe`, for as long as the
        engine lets us; everything else goes to ``on_event``.

        Raises:
          Refused: A topic, or we, are not taken.
          Ended: The engine sent us away for good; another loop of this client raises it as well.
          Unreachable: At the first connection no engine answered; later that is retried.
          ProtocolViolation: It is no engine.
          Closed: This client was closed before the loop began.
        """
        for items in self.batches(*topics, policy=policy, trades=trades, max_rate=max_rate):
            yield from ticks_of(items, self._tell)

    def raw(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> Iterator[bytes]:
        """As :meth:`stream`, but every numbered message, as the JSON that the engine sent; several times faster."""
        for items in self._batches(topics, Choices(policy, trades, max_rate), raw=True):
            yield from raws_of(items, self._tell)

    def messages(self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None) -> Iterator[Item]:
        """Everything in order: ticks, other data, the engine's control messages, and our own notices. Raises as
        :meth:`stream`, but an error of the engine is a message here."""
        for items in self.batches(*topics, policy=policy, trades=trades, max_rate=max_rate):
            yield from items

    def batches(
        self, *topics: str, policy: str = "kill", trades: str = "keep", max_rate: float | None = None
    ) -> Iterator[list[Item]]:
        """As :meth:`messages`, a list of what came at a time."""
        for items in self._batches(topics, Choices(policy, trades, max_rate)):
            yield [item for item in items if not isinstance(item, bytes)]

    def _batches(self, topics: tuple[str, ...], choices: Choices, *, raw: bool = False) -> Iterator[list[Item | bytes]]:
        if self._closed:
            raise Closed
        if self._iterating:
            raise RuntimeError("this client is being iterated over already: use one client for each loop")
        self._iterating = True
        self._session.inbox.raw = raw
        try:
            with self._turns.at_work(), self._turns.lock:
                self._session.begin(topics, choices)
            while items := self._next():
                yield items
        finally:
            self._iterating = False
            self._turns.when_done(self._leave_as_reader)

    def _next(self) -> list[Item | bytes]:
        """What came, or nothing: the client was closed."""
        with self._turns.at_work():
            while not self._closed:
                with self._turns.lock:
                    items = self._session.take()
                if items:
                    return items
                self._do_step()
        return []

    # --- its life ---

    def close(self) -> None:
        """End the iteration, if there is one, and unregister the client unless its UUID was given. The handler of a
        signal may call it too; what it interrupts does the rest then."""
        if self._closed:
            return
        self._closed = True
        self._woken.put(None)
        if self._turns.is_interrupting:
            self._shut_down()
        self._turns.when_done(self._finish)

    def _finish(self) -> None:
        uuid = self._session.uuid
        self._leave(is_reader=not self._iterating)
        if uuid is not None and self._session.is_ours:
            with suppress(FinStreamError):  # the engine forgets it by itself after a while
                self.rest.send("DELETE", self.rest.path("v1", "clients", uuid), timeout_s=_LAST_WORDS_S)
        if not self._iterating:  # else another thread may be about to use it; it keeps no connection open
            self.rest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- steps ---

    def _do_step(self) -> None:
        session, step = self._session, self._session.step
        if not isinstance(step, Exchange):
            with self._turns.lock:  # another thread may be sending a request
                self._drop()
        try:
            match step:
                case Exchange():
                    self._exchange(step.timeout_s)
                case Call():
                    answer = self.rest.send(step.method, step.path, body=step.body, timeout_s=step.timeout_s)
                    session.answered(answer.status_code, answer.content, lambda: refusal_of(answer))
                case Dial():
                    self._socket = self._dial()
                    session.dialled()
                case Pause():
                    with suppress(Empty):
                        self._woken.get(timeout=step.seconds)
                    session.waited()
        except Unreachable as error:
            if not self._closed:
                with self._turns.lock:  # it drops what another thread may be about to write to
                    session.failed(error)

    def _dial(self) -> socket.socket:
        try:
            plain = socket.create_connection((self._at.host, self._at.port), self._timeout_s)
        except OSError as error:
            raise Unreachable(self._at.stream, str(error)) from None
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plain if self._ssl is None else self._ssl.wrap_socket(plain, server_hostname=self._at.host)
        except OSError as error:
            plain.close()
            raise Unreachable(self._at.stream, str(error)) from None

    def _exchange(self, timeout_s: float) -> None:
        try:
            with self._turns.lock:
                self._flush()
            assert self._socket is not None, "an exchange without a connection"
            data = self._receive(self._socket, timeout_s)
        except TimeoutError:
            raise Unreachable(self._at.stream, f"silent for {timeout_s:g} s") from None
        except OSError as error:
            raise Unreachable(self._at.stream, str(error)) from None
        if self._closed:
            return
        with self._turns.lock:
            self._session.received(data)
            self._flush()

    def _receive(self, connection: socket.socket, timeout_s: float) -> bytes:
        connection.settimeout(timeout_s)
        if not isinstance(connection, ssl.SSLSocket):
            return connection.recv(_READ_BYTES)
        while True:
            # Encryption breaks when one thread reads while another one writes, so both take turns; but nobody may wait
            # in his turn, so what comes is waited for below the encryption.
            with self._turns.lock, suppress(ssl.SSLWantReadError):
                try:
                    connection.settimeout(0)
                    return connection.recv(_READ_BYTES)
                finally:
                    connection.settimeout(timeout_s)
            socket.socket.recv(connection, 1, socket.MSG_PEEK)

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and self._socket is not None:
            with suppress(OSError):  # reading will tell
                self._socket.sendall(data)

    def _leave_as_reader(self) -> None:
        self._leave(is_reader=True)

    def _leave(self, *, is_reader: bool) -> None:
        """Whoever reads closes the socket: its number, closed by another thread, could be that of another connection
        by the time that the reader comes to wait for it. So the others only shut the connection down, which wakes it."""
        with self._turns.at_work(), self._turns.lock:
            self._session.leave()
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.settimeout(_LAST_WORDS_S)
                    self._flush()
                self._shut_down()
            if is_reader:
                self._drop()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # ssl's own shutdown() takes the encryption away from whoever is reading
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


connect = Client
