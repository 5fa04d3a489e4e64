"""The data plane's server: decides who may connect, and says goodbye to all at the end.

The pump accepts, reads and writes the connections; it hands over each request's head and asks.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import trio

from finstream.pump import Requested
from finstream.servers import problems
from finstream.servers.connection import Connection
from finstream.servers.encrypted import EncryptedListener
from finstream.servers.handshake import client_of, not_a_handshake, raw_answer
from finstream.servers.surroundings import Surroundings
from finstream.servers.tls import Tls
from finstream.servers.upgrade import NotAHandshakeError, accepting, read_handshake
from finstream.vocabulary.errors import RequestError

__all__ = ["StreamServer"]

_MOST_STRANGERS = 4096
"""Connections beyond limits.clients: handshakes under way, and those that are about to end."""
_START_MS = 1500
"""What an engine takes from its end to its next start, and some more."""
_SPREAD_MS_PER_CLIENT = 2
_LEAST_SPREAD_MS = 1000
_NOT_A_HANDSHAKE = not_a_handshake()


class StreamServer:
    """``tls`` is None where nothing is encrypted; ``jitter`` gives numbers from 0 up to 1: when each client is told to come
    back after a restart."""

    def __init__(
        self,
        around: Surroundings,
        *,
        tls: Tls | None = None,
        ping_after_s: float = 20.0,
        give_up_s: float = 60.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._around = around
        self._ping_after_s = ping_after_s
        self._give_up_s = give_up_s
        self._jitter = jitter
        self._tls = tls
        self._encrypted: EncryptedListener | None = None
        self._listener: socket.socket | None = None
        self.connections: set[Connection] = set()
        self._stopping = trio.Event()
        self._empty = trio.Event()

    async def run(
        self, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until :meth:`stop`; takes the listener over and closes it. Returns once all connections are gone.

        Cancelling cuts the connections off, each with its receipt.
        """
        around = self._around
        most_connections = around.limits.clients + _MOST_STRANGERS
        listener.setblocking(False)
        if self._tls is None:
            with self._listening(listener, listener, most_connections):
                task_status.started()
                await self._serve()
            return
        encrypted = EncryptedListener(
            self._tls, around.pump, around.logger,
            most_connections=most_connections, handshake_s=around.handshake_s, leaving_s=around.close_s,
        )  # fmt: skip
        with closing(encrypted):
            async with trio.open_nursery() as nursery:
                with self._listening(listener, encrypted.quiet, most_connections):
                    await nursery.start(encrypted.run, listener)
                    task_status.started()
                    self._encrypted = encrypted
                    await self._serve()
                encrypted.stop()

    async def _serve(self) -> None:
        await self._stopping.wait()
        self._stop_listening()
        if self.connections:
            await self._empty.wait()

    @contextmanager
    def _listening(self, listener: socket.socket, accepting: socket.socket, most_connections: int) -> Iterator[None]:
        """``accepting`` is what the pump accepts from; ``listener`` is closed in the end."""
        around = self._around
        around.pump.listen(
            accepting.fileno(),
            self._asked,
            most_connections=most_connections,
            handshake_s=around.handshake_s,
            ping_after_s=self._ping_after_s,
            silence_s=self._give_up_s,
            leaving_s=around.close_s,
            max_bytes=around.limits.outbox_bytes,
            max_age_ms=around.limits.outbox_age_ms,
        )
        self._listener = listener
        try:
            yield
        finally:
            self._stop_listening()
            for connection in list(self.connections):
                connection.cut_off()

    def _stop_listening(self) -> None:
        self._around.pump.stop_listening()
        if self._encrypted is not None:
            self._encrypted.stop_accepting()
        if self._listener is not None:
            self._listener.close()

    def stop(self, reason: str, *, children_s: float = 0.0) -> None:
        """Stop accepting, say goodbye to everybody. Returns at once; :meth:`run` returns when all are gone.

        ``reason`` is ``engine_stopping`` or ``engine_restarting``; after a restart not all clients should come back
        at once, and none before the engine can be back: ``children_s`` is how long the children may take to end.
        """
        self._stopping.set()
        away_ms = _START_MS + int(1000 * (self._around.close_s + children_s))
        spread_ms = max(_LEAST_SPREAD_MS, _SPREAD_MS_PER_CLIENT * len(self.connections))
        for connection in list(self.connections):
            if reason == "engine_restarting":
                connection.close(reason, reconnect_in_ms=away_ms + int(spread_ms * self._jitter()))
            else:
                connection.close(reason)

    def _asked(self, request: Requested) -> None:
        around = self._around
        try:
            handshake = read_handshake(request.head)
        except NotAHandshakeError as error:
            around.logger.debug("not a handshake", peer=request.peer, detail=str(error))
            around.pump.refuse(request.outbox, _NOT_A_HANDSHAKE)
            return
        try:
            client = client_of(handshake.target, handshake.headers, around.origins)
            around.sessions.get(client)
            around.admit()
        except RequestError as error:
            around.logger.info("handshake refused", peer=request.peer, problem=error.problem, detail=error.detail)
            later = problems.RETRY_AFTER.get(error.problem)
            headers = [] if later is None else [f"Retry-After: {later}"]
            around.pump.refuse(request.outbox, raw_answer(problems.of_request_error(error), *headers))
            return
        if self._stopping.is_set():
            around.pump.refuse(request.outbox, b"")
            return
        connection = Connection(request.outbox, client, around, self._forget)
        around.pump.welcome(request.outbox, connection.told)
        self.connections.add(connection)
        connection.open(accepting(handshake), request.peer)

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if self._stopping.is_set() and not self.connections:
            self._empty.set()
