"""HTTP/1.1 as we want it of Hypercorn: every refusal is problem details, and nothing switches to HTTP/2."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import msgspec
from hypercorn import protocol
from hypercorn.events import Closed, Event
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ConnectionState

from finstream.servers import problems
from finstream.servers.problems import problem

__all__ = ["MAX_HEAD_BYTES", "install"]

MAX_HEAD_BYTES = 16384

_TOO_LARGE = problem("head-too-large", f"request line and headers have at most {MAX_HEAD_BYTES} bytes")
_MALFORMED = problem(
    "malformed-request", "this is no HTTP/1.1: look at the request line, Host, Content-Length and Transfer-Encoding"
)


class _Http1(H11Protocol):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # For a WebSocket whose client does not read: Hypercorn's own sending cannot be cancelled, so somebody has to end its wait.
        server: Any = getattr(self.send, "__self__")  # noqa: B009 - the method's owner, Hypercorn's TCPServer
        self._cut_off = partial(_cut_off, server)
        self.connection_state = ConnectionState({**self.connection_state, "cut_off": self._cut_off})

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except h11.LocalProtocolError:
            # A client that sends frames before its handshake was answered gets two answers from Hypercorn, and the second fails.
            # That must end its connection, not the server.
            self._cut_off()

    async def _send_error_response(self, status_code: int) -> None:
        refusal = _TOO_LARGE if status_code == _TOO_LARGE.status else _MALFORMED
        body = msgspec.json.encode(refusal)
        headers = [
            ("Content-Type", problems.MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        await self._send_h11_event(h11.Response(status_code=refusal.status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

    async def _check_protocol(self, event: h11.Request) -> None:
        """Hypercorn looks here for a wish to speak HTTP/2."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version in {b"1.0", b"1.1"}:
            await super()._create_stream(_without_compression(request))
        else:
            await self._send_error_response(_MALFORMED.status)
            await self.send(Closed())


def _without_compression(request: h11.Request) -> h11.Request:
    """A WebSocket's messages would cost the control plane more time to compress than to write."""
    if not any(name == b"sec-websocket-extensions" for name, _ in request.headers):
        return request
    headers = [(name, value) for name, value in request.headers if name != b"sec-websocket-extensions"]
    return h11.Request(method=request.method, headers=headers, target=request.target, http_version=request.http_version)


def _cut_off(server: Any) -> None:
    """Let whoever reads from or writes to the client's socket find out at once that it has ended."""
    stream = getattr(server.stream, "transport_stream", server.stream)  # below TLS, where there is TLS
    with suppress(OSError):  # it has ended already
        stream.socket.shutdown(socket.SHUT_RDWR)


def install() -> None:
    """For every Hypercorn server of this process, because Hypercorn has no setting for it. Once is enough."""
    protocol.H11Protocol = _Http1  # type: ignore[attr-defined]
