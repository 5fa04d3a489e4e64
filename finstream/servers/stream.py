"""The data plane's server: accepts connections, looks after silent ones, says goodbye to all of them at the end."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

import trio

from finstream.servers.connection import Connection
from finstream.servers.keepalive import GIVE_UP_S, PING_AFTER_S, Care, care_for
from finstream.servers.surroundings import Surroundings

__all__ = ["StreamServer"]

_MOST_STRANGERS = 4096
"""Connections beyond limits.clients: handshakes under way, each a task and some kilobytes for at most their
deadline."""
_SPREAD_MS_PER_CLIENT = 2
_LEAST_SPREAD_MS = 1000


class StreamServer:
    """``jitter`` gives numbers from 0 up to 1: when each client is told to come back after a restart."""

    def __init__(
        self,
        around: Surroundings,
        *,
        ping_after_s: float = PING_AFTER_S,
        give_up_s: float = GIVE_UP_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._around = around
        self._ping_after_s = ping_after_s
        self._give_up_s = give_up_s
        self._jitter = jitter
        self.connections: set[Connection] = set()
        self._accepting = trio.CancelScope()
        self._stopping = False

    async def run(
        self, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until :meth:`stop`; takes the listener over and closes it. Returns once all connections are gone.

        Cancelling cuts the connections off, each with its receipt.
        """
        async with trio.open_nursery() as connections:
            with self._accepting:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._look_after_the_silent)
                    sockets = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
                    task_status.started()
                    await trio.serve_listeners(self._serve, [sockets], handler_nursery=connections)

    def stop(self, reason: str) -> None:
        """Stop accepting, say goodbye to everybody. Returns at once; :meth:`run` returns when all are gone.

        ``reason`` is ``engine_stopping`` or ``engine_restarting``; after a restart not all clients should come back
        at once.
        """
        self._stopping = True
        self._accepting.cancel(reason=reason)
        spread_ms = max(_LEAST_SPREAD_MS, _SPREAD_MS_PER_CLIENT * len(self.connections))
        for connection in list(self.connections):
            if not connection.is_open:
                connection.drop()
            elif reason == "engine_restarting":
                connection.close(reason, reconnect_in_ms=_LEAST_SPREAD_MS + int(spread_ms * self._jitter()))
            else:
                connection.close(reason)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self._stopping or len(self.connections) >= self._around.limits.clients + _MOST_STRANGERS:
            await trio.aclose_forcefully(stream)
            return
        connection = Connection(stream, self._around)
        self.connections.add(connection)
        try:
            await connection.serve()
        finally:
            self.connections.discard(connection)

    async def _look_after_the_silent(self) -> None:
        while True:
            await trio.sleep(self._ping_after_s / 4)
            now = trio.current_time()
            for connection in list(self.connections):
                if not connection.is_open:
                    continue
                care = care_for(
                    now,
                    connection.heard_at,
                    connection.pinged_at,
                    ping_after_s=self._ping_after_s,
                    give_up_s=self._give_up_s,
                )
                if care is Care.PING:
                    connection.ping(now)
                elif care is Care.GIVE_UP:
                    connection.close("unresponsive")
