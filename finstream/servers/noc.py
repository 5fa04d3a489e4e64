"""The NOC's WebSocket on the admin listener: who is let in, and who is there."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import finstream
from finstream.servers import problems
from finstream.servers.admin import bearer, require_token
from finstream.servers.noc_connection import Around, NocConnection
from finstream.servers.origins import Origins
from finstream.servers.rest import Receive, Send, refuse
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.noc import NocWelcome

__all__ = ["NOC_PATH", "SUBPROTOCOL", "NocServer"]

NOC_PATH = "/v1/noc"
SUBPROTOCOL = "finstream.noc"
"""What browsers offer beside the token."""
_TOKEN_PREFIX = "finstream.token."  # noqa: S105 - not a secret itself
_MOST_CONNECTIONS = 64
"""Operators, not subscribers."""


class NocServer:
    """An ASGI application for WebSocket handshakes. ``token`` is the admin token, None where none is needed; ``listener`` the
    address bound to; ``ports`` those of the other listeners."""

    def __init__(
        self,
        around: Around,
        *,
        origins: Origins,
        listener: str,
        token: str | None,
        epoch: str,
        mode: str,
        ports: dict[str, int],
        secure: bool,
    ) -> None:
        self._around = around
        self._origins = origins
        self._listener = listener
        self._token = token
        self._epoch = epoch
        self._mode = mode
        self._ports = ports
        self._secure = secure
        self._stopping = False
        self._connections: set[NocConnection] = set()
        self.dropped = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        headers = {name.lower().decode(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check(scope, headers)
        except RequestError as error:
            self._around.logger.info("the NOC was refused", origin=_origin(scope), problem=error.problem, detail=error.detail)
            await refuse(send, "websocket.http.response", problems.of_request_error(error))
            return
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        connection = NocConnection(receive, send, scope["state"]["cut_off"], _origin(scope), self._around)
        self._connections.add(connection)
        self._around.logger.info("the NOC connected", origin=_origin(scope))
        try:
            await connection.run(self._welcome())
        except* Exception as failure:
            # One connection's failure, which is ours, must not be another's.
            self._around.logger.error("a connection of the NOC failed", origin=_origin(scope), exc_info=failure)
        finally:
            self._connections.discard(connection)
            self.dropped += connection.dropped is not None
            self._around.logger.info("the NOC disconnected", origin=_origin(scope), dropped=connection.dropped)

    def stop(self, reason: str) -> None:
        """Let nobody in any more, say goodbye to all. Returns at once."""
        self._stopping = True
        for connection in list(self._connections):
            connection.end(reason)

    @property
    def connections(self) -> int:
        return len(self._connections)

    def _check(self, scope: Any, headers: dict[str, str]) -> None:
        """
        Raises:
          RequestError: why it is not let in.
        """
        self._origins.check_host(headers.get("host"), self._listener)
        if scope["path"] != NOC_PATH:
            raise RequestError("not-found", f"the NOC is at {NOC_PATH}; the stream has an address of its own (listen.stream)")
        self._origins.check_origin(headers.get("origin"))
        require_token(self._token, bearer(headers.get("authorization", "")) or _offered_token(scope["subprotocols"]))
        if self._stopping:
            raise RequestError("not-ready", "the engine is stopping")
        if len(self._connections) >= _MOST_CONNECTIONS:
            raise RequestError("not-ready", f"{_MOST_CONNECTIONS} connections of the NOC are open already")

    def _welcome(self) -> NocWelcome:
        return NocWelcome(
            protocol=1, engine=f"finstream/{finstream.__version__}", epoch=self._epoch, mode=self._mode,
            log_level=self._around.logs.level, operations=self._around.requests.operations, ports=self._ports,
            secure=self._secure,
        )  # fmt: skip


def _origin(scope: Any) -> str:
    host, port = (scope["client"] or ("?", 0))[:2]
    return f"noc {host}:{port}"


def _offered_token(subprotocols: Iterable[str]) -> str:
    """Browsers cannot send a header with a handshake, but they can offer subprotocols: the token as base64url without padding."""
    for offered in subprotocols:
        if offered.startswith(_TOKEN_PREFIX):
            text = offered.removeprefix(_TOKEN_PREFIX)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except (binascii.Error, ValueError):
                return ""
    return ""
