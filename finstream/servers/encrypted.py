"""The stream's listener where it speaks TLS: the relay accepts and encrypts, the pump adopts what comes out of it.

Who may connect is decided as ever, by the request that the pump then reads.
"""

from __future__ import annotations

import socket

import trio

from finstream.pump import Pump
from finstream.relay import Relay, ShakeFailed
from finstream.servers.tls import Tls
from finstream.services.logs import Logger
from finstream.token_bucket import TokenBucket

__all__ = ["EncryptedListener"]

_FAILURES_LOGGED_PER_S = 20
"""Whoever finds an open port may fail as often as he likes."""


class EncryptedListener:
    """Run it while the pump listens to :attr:`quiet`."""

    def __init__(
        self, tls: Tls, pump: Pump, logger: Logger, *, most_connections: int, handshake_s: float, leaving_s: float
    ) -> None:
        self._tls = tls
        self._pump = pump
        self._logger = logger
        self._relay = Relay(tls.stream, most_connections=most_connections, handshake_s=handshake_s, leaving_s=leaving_s)
        self._to_log = TokenBucket(_FAILURES_LOGGED_PER_S, _FAILURES_LOGGED_PER_S, trio.current_time)
        self._unlogged = 0
        self.quiet, self._other_end = socket.socketpair()
        """What the pump is given for a listener: nobody ever connects to it."""

    async def run(self, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept until :meth:`stop`; returns once all connections are gone. The listener stays the caller's, who may close it."""
        self._tls.renewed = self._relay.renew
        await self._relay.run(listener.fileno(), self._connected, self._failed, task_status=task_status)
        self._logger.debug("the TLS relay has ended", statistics=self._relay.statistics())

    def stop_accepting(self) -> None:
        self._relay.stop_accepting()

    def stop(self) -> None:
        """What is on its way may still arrive, for ``leaving_s``."""
        self._relay.stop()

    def close(self) -> None:
        """Once neither the relay runs nor the pump listens."""
        self.quiet.close()
        self._other_end.close()

    def _connected(self, fd: int, peer: str) -> bool:
        return self._pump.adopt(fd, peer) is not None

    def _failed(self, failure: ShakeFailed) -> None:
        if not self._to_log.take():
            self._unlogged += 1
            return
        self._logger.debug("TLS handshake failed", peer=failure.peer, reason=failure.reason, unlogged=self._unlogged)
        self._unlogged = 0
