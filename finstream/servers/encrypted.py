"""The stream's listener where it speaks TLS: a native thread accepts and shakes hands, the pump adopts who has done so.

Who may connect is decided as ever, by the request that the pump then reads.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

import msgspec
import trio

from finstream.acceptor import Session, ShakeFailed, TlsAcceptor
from finstream.pump import Pump
from finstream.servers.tls import Tls
from finstream.services.logs import Logger
from finstream.token_bucket import TokenBucket

__all__ = ["EncryptedListener", "TlsStatistics"]

_FAILURES_LOGGED_PER_S = 20
"""Whoever finds an open port may fail as often as he likes."""


class TlsStatistics(msgspec.Struct, frozen=True):
    """Of the stream's encrypted connections, since the start."""

    accepted: int
    connected: int
    """Handshakes that succeeded."""
    failed: int
    """Handshakes that did not."""
    shaking: int
    """Handshakes under way."""
    failures: Mapping[str, int]
    """Those that failed by reason, in OpenSSL's words; of a flood some are in ``failed`` only."""
    open: int
    """Connections after their handshake."""
    encrypted_bytes: int
    """Of content, to the clients."""
    decrypted_bytes: int
    """Of content, from the clients."""


class EncryptedListener:
    """Run it while the pump serves connections without a listener of its own."""

    def __init__(self, tls: Tls, pump: Pump, logger: Logger, *, most_connections: int, handshake_s: float) -> None:
        self._tls = tls
        self._pump = pump
        self._logger = logger
        self._acceptor = TlsAcceptor(tls.stream, most_connections=most_connections, handshake_s=handshake_s)
        self._to_log = TokenBucket(_FAILURES_LOGGED_PER_S, _FAILURES_LOGGED_PER_S, trio.current_time)
        self._unlogged = 0

    async def run(self, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept until :meth:`stop`. The listener stays the caller's, who may close it."""
        self._tls.renewed = self._acceptor.renew
        await self._acceptor.run(
            listener.fileno(), self._connected, self._failed, self._pump.count_connections, task_status=task_status
        )

    def stop(self) -> None:
        """Accept nobody any more, and let :meth:`run` return. Connections go on."""
        self._acceptor.stop()

    def statistics(self) -> TlsStatistics:
        handshakes = msgspec.structs.asdict(self._acceptor.statistics())
        return TlsStatistics(**handshakes, **msgspec.structs.asdict(self._pump.encryption()))

    def _connected(self, fd: int, peer: str, session: Session) -> bool:
        return self._pump.adopt(fd, peer, session) is not None

    def _failed(self, failure: ShakeFailed) -> None:
        if not self._to_log.take():
            self._unlogged += 1
            return
        self._logger.debug("TLS handshake failed", peer=failure.peer, reason=failure.reason, unlogged=self._unlogged)
        self._unlogged = 0
