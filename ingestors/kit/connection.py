"""One WebSocket connection from its opening to its end: subscribe, keep it alive, read, and say why it ended.

Needs the ``websockets`` library, which is imported only when a connection opens. It answers the venue's pings, and its own
pings find out whether a quiet connection still lives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn

from .addresses import shown
from .exits import MisconfiguredError
from .mapper import Endpoint, Keepalive
from .refusals import refusal_pause_s

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["ConnectionEndedError", "converse"]

_OPEN_TIMEOUT_S: Final = 10.0
_PING_S: Final = 20.0
_CLOSE_TIMEOUT_S: Final = 1.0
"""Short: at SIGTERM the whole program has five seconds, and a venue that does not answer is not worth them."""
_QUEUED_MESSAGES: Final = 1024
"""So many are read ahead of the mapper before the socket is left alone: a burst of one second."""


class ConnectionEndedError(Exception):
    """Why it ended, in words. ``wait_s`` is what the venue asked for."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


async def converse(
    endpoint: Endpoint, *, opened: Callable[[], None], subscribed: Callable[[], None], take: Callable[[bytes, int], None]
) -> NoReturn:
    """Open a connection and hand over its messages until it ends.

    Args:
        opened: Called when the venue has accepted the connection.
        subscribed: Called when all requests are sent.
        take: Called with each message and when it arrived, in UTC nanoseconds since the epoch. May raise.

    Raises:
        ConnectionEndedError: It ended, or could not be opened.
        MisconfiguredError: The URL is none.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

    try:
        async with connect(
            endpoint.url,
            additional_headers=dict(endpoint.headers),
            compression=None,  # venues' messages are small: deflate costs latency and saves little
            open_timeout=_OPEN_TIMEOUT_S,
            ping_interval=_PING_S,
            ping_timeout=_PING_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=endpoint.max_message_bytes,
            max_queue=_QUEUED_MESSAGES,
        ) as socket:
            opened()
            chores = [asyncio.create_task(_send_requests(socket, endpoint, subscribed))]
            if endpoint.keepalive is not None:
                chores.append(asyncio.create_task(_keep_alive(socket, endpoint.keepalive)))
            try:
                await _read(socket, endpoint.idle_s, take)
            finally:
                for chore in chores:
                    chore.cancel()
                await asyncio.wait(chores)
                await socket.close()  # in form, also when we are told to leave
    except InvalidURI as error:
        raise MisconfiguredError(f"--url {shown(endpoint.url)}: not a WebSocket address: {error.msg}") from error
    except ConnectionClosed as error:
        raise ConnectionEndedError(f"closed: {error}") from error
    except InvalidStatus as error:
        response = error.response
        detail = f"the venue refuses the connection with HTTP {response.status_code}"
        wait_s = refusal_pause_s(response.status_code, response.headers.get("Retry-After"))
        raise ConnectionEndedError(detail, wait_s=wait_s) from error
    except (OSError, InvalidHandshake) as error:  # TimeoutError of the opening is an OSError too
        raise ConnectionEndedError(f"cannot connect: {error or type(error).__name__}") from error


async def _read(socket: ClientConnection, idle_s: float, take: Callable[[bytes, int], None]) -> NoReturn:
    loop = asyncio.get_running_loop()
    fresh_until_s = 0.0
    try:
        async with asyncio.timeout(idle_s) as deadline:
            while True:
                take(await socket.recv(decode=False), time.time_ns())
                now_s = loop.time()
                if now_s >= fresh_until_s:  # not for each message: moving a timer costs more than mapping one
                    fresh_until_s = now_s + idle_s / 20
                    deadline.reschedule(now_s + idle_s + idle_s / 20)
    except TimeoutError:
        raise ConnectionEndedError(f"silent for {idle_s:g} s") from None


async def _send_requests(socket: ClientConnection, endpoint: Endpoint, subscribed: Callable[[], None]) -> None:
    from websockets.exceptions import ConnectionClosed

    for number, request in enumerate(endpoint.requests):
        if number:
            await asyncio.sleep(endpoint.request_spacing_s)
        try:
            await socket.send(request)
        except ConnectionClosed:
            return  # the reader learns of it too and says why
    subscribed()


async def _keep_alive(socket: ClientConnection, keepalive: Keepalive) -> None:
    from websockets.exceptions import ConnectionClosed

    while True:
        await asyncio.sleep(keepalive.period_s)
        try:
            await socket.send(keepalive.text)
        except ConnectionClosed:
            return  # the reader learns of it too and says why
