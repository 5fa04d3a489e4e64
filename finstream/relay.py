"""The TLS relay as the servers see it: a certificate in, decrypted connections out.

A native thread accepts connections, does their handshakes and encrypts (``finstream/_tls.pyx``). Whoever has shaken hands is told
of, as a socket to which everything is written and from which everything is read as if there were no TLS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import trio

from finstream import _tls
from finstream.vocabulary.errors import PumpFailed

__all__ = ["HANDSHAKES_AT_ONCE", "Certificate", "Relay", "RelayStatistics", "ShakeFailed"]

Certificate = _tls.Certificate

HANDSHAKES_AT_ONCE = 1024
"""Beyond that the backlog waits: each takes some 50 KB, and whoever has connected has proved nothing yet."""


class ShakeFailed(NamedTuple):
    peer: str
    """``host:port``."""
    reason: str


class RelayStatistics(msgspec.Struct, frozen=True):
    accepted: int
    connected: int
    """Handshakes that succeeded."""
    failed: int
    """Handshakes that did not."""
    open: int
    """Connections after their handshake."""
    shaking: int
    """Handshakes under way."""
    encrypted_bytes: int
    """Of content, to the peers."""
    decrypted_bytes: int
    """Of content, from the peers."""


class Relay:
    """May be used from the Trio thread at any time; no call waits for the relay's thread.

    ``leaving_s`` is how long the rest of a connection may take once one side has ended it.
    """

    def __init__(
        self, certificate: Certificate, *, most_connections: int, handshake_s: float = 10.0, leaving_s: float = 2.0
    ) -> None:
        self._native = _tls.NativeRelay(
            certificate,
            most_connections=most_connections,
            most_handshakes=HANDSHAKES_AT_ONCE,
            handshake_ms=int(handshake_s * 1000),
            leaving_ms=int(leaving_s * 1000),
        )
        self._stopping = False

    async def run(
        self,
        listener: int,
        connected: Callable[[int, str], bool],
        failed: Callable[[ShakeFailed], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept on a listening socket (a descriptor, non-blocking) until :meth:`stop`, and return once all connections are gone.

        ``connected(fd, peer)`` is given each connection; when it returns False the socket is closed here. ``failed`` is told of
        failed handshakes, unless there are too many to tell. Both are plain calls on the Trio thread, and must not raise.
        Cancelling cuts all connections off.

        Raises:
          PumpFailed: the thread ended although nobody asked it to.
          OSError: there are no descriptors left.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_events, connected, failed)
            nursery.start_soon(self._stop_when_cancelled)
            task_status.started()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._native.run, listener, limiter=trio.CapacityLimiter(1))
            ended_by_itself = not self._stopping
            nursery.cancel_scope.cancel("the relay has ended")
        for fd, _peer, _reason in self._native.take_events():
            if fd >= 0:
                os.close(fd)
        if ended_by_itself:
            raise PumpFailed("the TLS relay's thread ended by itself")

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._stopping = True
            self._native.stop(now=True)

    async def _deliver_events(self, connected: Callable[[int, str], bool], failed: Callable[[ShakeFailed], None]) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._native.event_fd)
            for fd, peer, reason in self._native.take_events():
                if fd < 0:
                    failed(ShakeFailed(peer, reason))
                elif not connected(fd, peer):
                    os.close(fd)

    def stop_accepting(self) -> None:
        """Accept nobody any more, and drop who has not shaken hands yet. Connections go on."""
        self._native.stop_listening()

    def stop(self) -> None:
        """Stop accepting, give connections ``leaving_s`` to come to their end, and let :meth:`run` return."""
        self._stopping = True
        self._native.stop()

    def renew(self, certificate: Certificate) -> None:
        """Show this one to whoever connects from now on."""
        self._native.renew(certificate)

    def statistics(self) -> RelayStatistics:
        return RelayStatistics(*self._native.statistics())
