"""Whether subscribers are served; and if not, why.

Nothing here is remembered that can be asked: a listener is up if the kernel says that it accepts connections and the server behind
it has not just failed, the pump if its thread is at work.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from finstream.pump import Pump

__all__ = ["Readiness"]


class Readiness:
    """``listeners`` are the sockets by the names of their keys in ``listen``."""

    def __init__(self, pump: Pump, listeners: Mapping[str, socket.socket]) -> None:
        self.serves = False
        """Whether everything has been started, and nothing is being stopped."""
        self._pump = pump
        self._listeners = {name: (listener, listener.getsockname()) for name, listener in listeners.items()}
        self._failed: set[str] = set()

    def server_is(self, up: bool, listener: str) -> None:
        """The server behind a listener has started, or failed."""
        if up:
            self._failed.discard(listener)
        else:
            self._failed.add(listener)

    def problems(self) -> list[str]:
        """Why subscribers are not served now; none if they are."""
        if not self.serves:
            return ["the engine is starting or stopping"]
        found = [] if self._pump.running else ["the pump does not run"]
        for name, (listener, address) in self._listeners.items():
            if name in self._failed or not _accepts(listener, address):
                found.append(f"listen.{name} accepts no connections")
        return found

    def is_ready(self) -> bool:
        return not self.problems()


def _accepts(listener: socket.socket, address: object) -> bool:
    """Whether it does, and where everybody was told that it would: with port 0, one that is opened again gets another port."""
    try:
        return listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0 and listener.getsockname() == address
    except OSError:  # it is closed
        return False
