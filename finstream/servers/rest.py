"""Serve a REST interface with Hypercorn inside our own nursery."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import hypercorn.trio
import msgspec
import trio
from hypercorn.config import Config

from finstream.servers import http1, problems
from finstream.servers.listeners import BACKLOG
from finstream.servers.problems import Problem, problem
from finstream.services.logs import Logger
from finstream.vocabulary.commands import MAX_REQUEST_BYTES

__all__ = ["Asgi", "Receive", "Send", "refuse", "serve_rest"]

IDLE_S = 30.0
"""How long a connection may stay open without a request; also how long the head of a request may take."""
HANDSHAKE_S = 10.0
"""How long a TLS handshake may take."""
DRAIN_S = 2.0
"""How long answers under way may take when the server stops."""
RESTART_PAUSE_S = 0.1
PING_EVERY_S = 20.0
"""So that what lies between us and a silent page does not take the connection for dead."""

# ASGI's own types are a union for each kind of event; what passes through here is only looked at.
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Any, Receive, Send], Awaitable[None]]


async def serve_rest(
    app: Asgi,
    listener: socket.socket,
    *,
    stop: trio.Event,
    logger: Logger,
    tls: ssl.SSLContext | None = None,
    websocket: Asgi | None = None,
    is_up: Callable[[bool], None] = lambda _up: None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop`` is set; then stop accepting, let answers under way finish for DRAIN_S, and return.

    ``websocket`` takes WebSocket handshakes; without it they are refused. ``is_up`` is told whenever the server has started, and
    when it has failed.
    The caller closes the listener. Cancelling cuts connections off.
    """
    http1.install()
    asgi = _contain(_divide(_hold_back_disconnect(app), websocket or _refuse_websocket), logger)
    serve = partial(hypercorn.trio.serve, asgi, shutdown_trigger=stop.wait, mode="asgi")
    started = False
    while not stop.is_set():
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve, _configuration(os.dup(listener.fileno()), tls))
                is_up(True)
                if not started:
                    started = True
                    task_status.started()
        except* Exception as group:
            # An input that Hypercorn did not expect ends all of it. That must not be all of us.
            if not started:
                raise
            is_up(False)
            logger.error("the HTTP server failed and is started again", exc_info=group)
            await trio.sleep(RESTART_PAUSE_S)


class _Config(Config):
    """Hypercorn's own would read the certificate from files at each start; ours is renewed where it is."""

    tls: ssl.SSLContext | None = None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        return self.tls

    @property
    def ssl_enabled(self) -> bool:
        return self.tls is not None


def _configuration(fd: int, tls: ssl.SSLContext | None) -> Config:
    config = _Config()
    config.tls = tls
    config.ssl_handshake_timeout = HANDSHAKE_S
    config.bind = [f"fd://{fd}"]
    config.backlog = BACKLOG
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)  # it announces itself on info; our ready line does that
    config.include_server_header = False
    config.h11_max_incomplete_size = http1.MAX_HEAD_BYTES
    config.keep_alive_timeout = IDLE_S
    config.graceful_timeout = DRAIN_S
    config.websocket_max_message_size = MAX_REQUEST_BYTES
    config.websocket_ping_interval = PING_EVERY_S
    return config


def _hold_back_disconnect(app: Asgi) -> Asgi:
    """Do not tell the application that the client has gone once the whole answer has been handed over.

    Hypercorn queues ``http.disconnect`` while it still sends the last part. Quart-Trio takes it for a hang-up and
    cancels its request, and with it Hypercorn's call that would start the idle timer of the connection: idle
    connections would then never be closed, and a stop would wait for them for the whole graceful timeout.
    """

    async def wrapped(scope: Any, receive: Receive, send: Send) -> None:
        answered = False

        async def send_on(message: Any) -> None:
            nonlocal answered
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                answered = True
            await send(message)

        async def receive_on() -> Any:
            message = await receive()
            if answered and message["type"] == "http.disconnect":
                await trio.sleep_forever()  # until the application's own end cancels it
            return message

        await app(scope, receive_on, send_on)

    return wrapped


async def _refuse_websocket(_scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    detail = "no WebSocket is served here; the stream has an address of its own (listen.stream)"
    await refuse(send, "websocket.http.response", problem("not-found", detail))


def _divide(app: Asgi, websocket: Asgi) -> Asgi:
    """WebSocket handshakes are not for the application; and requests for something else than a path only proxies serve."""

    async def wrapped(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await websocket(scope, receive, send)
        elif scope["type"] == "http" and not scope["path"].startswith("/"):
            detail = "the request's target has to be a path: this is no proxy"
            await refuse(send, "http.response", problem("malformed-request", detail))
        else:
            await app(scope, receive, send)

    return wrapped


def _contain(app: Asgi, logger: Logger) -> Asgi:
    """A client that hangs up while it is answered is no error; Hypercorn would log it as one."""

    async def wrapped(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except* (trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            logger.debug("a client left while it was answered", errors=[str(error) for error in group.exceptions])

    return wrapped


async def refuse(send: Send, kind: str, refusal: Problem) -> None:
    """Answer with a problem; ``kind`` is ``http.response``, or ``websocket.http.response`` instead of a handshake's."""
    body = msgspec.json.encode(refusal)
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body, "more_body": False})
