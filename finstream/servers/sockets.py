"""The small change of accepted sockets."""

from __future__ import annotations

import socket

import trio

__all__ = ["close_after_reading", "peer_name"]


def peer_name(stream: trio.SocketStream) -> str:
    """``host:port`` for the records."""
    try:
        host, port, *_ = stream.socket.getpeername()
    except OSError:
        return "gone"
    return f"[{host}]:{port}" if stream.socket.family == socket.AF_INET6 else f"{host}:{port}"


async def close_after_reading(stream: trio.SocketStream, within_s: float) -> None:
    """Close a socket so that what was written last still arrives: one that is closed with unread input would throw it
    away. Reads, and forgets, until the other side has closed or ``within_s`` are over."""
    with trio.move_on_after(within_s):
        try:
            await stream.send_eof()
            while await stream.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the other side has closed it already
    await trio.aclose_forcefully(stream)
