"""Listening sockets, opened before anything else starts: an address that is taken must not cost anybody a started
ingestor."""

from __future__ import annotations

import errno
import os
import socket

from finstream.vocabulary.addresses import split_address
from finstream.vocabulary.errors import FinStreamError

__all__ = ["BACKLOG", "ListenError", "address_of", "open_listener", "url_of"]

BACKLOG = 4096
"""A thousand clients that come back at the same moment must not be turned away; the kernel caps it at
net.core.somaxconn."""


class ListenError(FinStreamError):
    """An address of ``listen`` cannot be bound. ``key`` is its key, ``taken`` whether another program has
    it; ``problem`` and ``remedy`` are the two halves of the text."""

    def __init__(self, key: str, address: str, why: str, *, taken: bool) -> None:
        self.key = key
        self.taken = taken
        first = "stop the program that has it, or choose another port" if taken else "choose an address of this machine"
        self.problem = f"cannot listen on {address}: {why}"
        self.remedy = f"{first}; port 0 picks a free one"
        super().__init__(f"listen.{key}: {self.problem} ({self.remedy})")


def open_listener(key: str, address: str) -> socket.socket:
    """Bind and listen; connections wait in the backlog until somebody accepts them. The caller closes the socket.

    Resolves names with a blocking call.

    Raises:
      ListenError
    """
    host, port = split_address(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ListenError(key, address, error.strerror or str(error), taken=False) from None
    listener = socket.socket(family, kind, protocol)
    try:
        # Without it, the connections of an engine that has just ended would keep the address for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        listener.bind(place)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(key, address, why, taken=error.errno == errno.EADDRINUSE) from None
    return listener


def address_of(listener: socket.socket) -> tuple[str, int]:
    """The host and port really bound."""
    host, port, *_ = listener.getsockname()
    return host, port


def url_of(scheme: str, listener: socket.socket) -> str:
    host, port = address_of(listener)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
