"""The TLS acceptor as the servers see it: a certificate in, connections that have shaken hands out.

A native thread accepts and does the handshakes (``finstream/_tls.pyx``). Whoever has shaken hands is told of, as a socket
and a session, which :meth:`finstream.pump.Pump.adopt` takes over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import trio

from finstream import _tls
from finstream.vocabulary.errors import PumpFailed

__all__ = ["HANDSHAKES_AT_ONCE", "AcceptorStatistics", "Certificate", "Session", "ShakeFailed", "TlsAcceptor"]

Certificate = _tls.Certificate
Session = object
"""A capsule of the native module; with the last reference to it the session ends, unless somebody has taken it over."""

HANDSHAKES_AT_ONCE = 1024
"""Beyond that the backlog waits: each takes some 50 KB, and whoever has connected has proved nothing yet."""


class ShakeFailed(NamedTuple):
    peer: str
    """``host:port``."""
    reason: str


class AcceptorStatistics(msgspec.Struct, frozen=True):
    accepted: int
    connected: int
    """Handshakes that succeeded."""
    failed: int
    """Handshakes that did not."""
    shaking: int
    """Handshakes under way."""
    failures: Mapping[str, int]
    """Those that failed by reason, in OpenSSL's words; of a flood some are in ``failed`` only."""


class TlsAcceptor:
    """May be used from the Trio thread at any time; no call waits for the acceptor's thread."""

    def __init__(
        self,
        certificate: Certificate,
        *,
        most_connections: int,
        handshake_s: float = 10.0,
        most_handshakes: int = HANDSHAKES_AT_ONCE,
    ) -> None:
        self._native = _tls.NativeAcceptor(
            certificate,
            most_connections=most_connections,
            most_handshakes=most_handshakes,
            handshake_ms=int(handshake_s * 1000),
        )
        self._failures: Counter[str] = Counter()
        self._stopping = False

    async def run(
        self,
        listener: int,
        connected: Callable[[int, str, Session], bool],
        failed: Callable[[ShakeFailed], None],
        count_open: Callable[[], int],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept on a listening socket (a descriptor, non-blocking) until :meth:`stop` or cancelled.

        ``connected(fd, peer, session)`` is given each connection; when it returns False the socket is closed here.
        ``failed`` is told of failed handshakes, unless there are too many to tell. ``count_open`` says how many of those
        given away there still are: at ``most_connections`` the backlog waits until it says less. All are plain calls on
        the Trio thread, and must not raise.

        Raises:
          PumpFailed: the thread ended although nobody asked it to.
          OSError: there are no descriptors left.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_events, connected, failed, count_open)
            nursery.start_soon(self._stop_when_cancelled)
            task_status.started()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._native.run, listener, limiter=trio.CapacityLimiter(1))
            ended_by_itself = not self._stopping
            nursery.cancel_scope.cancel("the acceptor has ended")
        for session, fd, _peer, _reason in self._native.take_events():
            if session is not None:
                os.close(fd)
        if ended_by_itself:
            raise PumpFailed("the TLS acceptor's thread ended by itself")

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.stop()

    async def _deliver_events(
        self,
        connected: Callable[[int, str, Session], bool],
        failed: Callable[[ShakeFailed], None],
        count_open: Callable[[], int],
    ) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._native.event_fd)
            for session, fd, peer, reason in self._native.take_events():
                if session is None:
                    self._failures[reason] += 1
                    failed(ShakeFailed(peer, reason))
                elif not connected(fd, peer, session):
                    os.close(fd)
            self._native.tell_open(count_open())

    def stop(self) -> None:
        """Accept nobody any more, drop who has not shaken hands yet, and let :meth:`run` return. Connections go on."""
        self._stopping = True
        self._native.stop()

    def renew(self, certificate: Certificate) -> None:
        """Show this one to whoever connects from now on."""
        self._native.renew(certificate)

    def statistics(self) -> AcceptorStatistics:
        return AcceptorStatistics(*self._native.statistics(), dict(self._failures))
