"""The engine's REST and WebSocket interfaces as its users meet them. Nothing here knows the engine's insides."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx
import msgspec
import trio
from trio_websocket import (
    ConnectionRejected,
    ConnectionTimeout,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
)

from finstream.cli.addresses import Addresses
from finstream.cli.failures import Refused, Unreachable, read_problem
from finstream.cli.trust import why_no_tls
from finstream.vocabulary.policies import PLAIN, Policy

__all__ = ["TOKEN_VARIABLE", "Rest", "ask", "open_stream"]

TOKEN_VARIABLE = "FINSTREAM_ADMIN_TOKEN"  # noqa: S105 - the name of the variable, not the token
_TIMEOUT_S = 10.0


class Rest:
    """A client of the public and the admin REST interface. Leaving its context closes its connections."""

    def __init__(self, addresses: Addresses, *, token: str | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        self._addresses = addresses
        self._token = token if token is not None else os.environ.get(TOKEN_VARIABLE)
        # trust_env would send requests for 127.0.0.1 through a proxy that the environment names for other purposes.
        # Reading the system's certificates takes longer than most commands, so only where they are needed.
        self._http = httpx.AsyncClient(timeout=timeout_s, trust_env=False, verify=addresses.trust() or False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def call(
        self,
        side: Literal["public", "admin"],
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, str] | None = None,
    ) -> bytes:
        """Send one request; returns the body of the answer, JSON as the engine wrote it (empty where there is none).

        Raises:
          Refused: the engine answered with a problem.
          Unreachable: nothing answered.
        """
        url: str = getattr(self._addresses, side)
        headers = {}
        if side == "admin" and self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._http.request(method, url + path, content=content, headers=headers, params=query)
        except httpx.TimeoutException:
            raise Unreachable(url, "no answer in time") from None
        except httpx.TransportError as error:
            raise Unreachable(url, why_no_tls(error) or str(error) or type(error).__name__) from None
        if answer.is_success:
            return answer.content
        raise Refused(read_problem(answer.status_code, answer.content))

    async def register(self) -> str:
        """Register a client; returns its UUID."""
        uuid: str = msgspec.json.decode(await self.call("public", "POST", "/v1/clients"))["uuid"]
        return uuid

    async def unregister(self, uuid: str) -> None:
        await self.call("public", "DELETE", f"/v1/clients/{quote(uuid, safe='')}")

    async def add_topics(self, uuid: str, topics: Iterable[str], policy: Policy = PLAIN) -> None:
        """Subscribe to more topics: all of them, or none when one is wrong."""
        path = f"/v1/clients/{quote(uuid, safe='')}/subscriptions"
        await self.call("public", "POST", path, body={"topics": list(topics), **msgspec.to_builtins(policy)})


def ask(
    addresses: Addresses,
    side: Literal["public", "admin"],
    method: str,
    path: str,
    *,
    body: Any = None,
    query: dict[str, str] | None = None,
) -> bytes:
    """One request from a command that has nothing else to do; see :meth:`Rest.call`."""

    async def request() -> bytes:
        async with Rest(addresses) as rest:
            return await rest.call(side, method, path, body=body, query=query)

    return trio.run(request)


@asynccontextmanager
async def open_stream(addresses: Addresses, uuid: str) -> AsyncIterator[WebSocketConnection]:
    """Connect the data plane of a registered client; leaving the context closes the connection.

    Raises:
      Refused: the engine refused the handshake; with the status 404 it does not know the client (any more).
      Unreachable: nothing answered.
    """
    url = f"{addresses.stream}/v1/stream?client={quote(uuid, safe='')}"
    # With a context, the library would speak TLS to any address.
    trust = addresses.trust() if url.startswith("wss:") else None
    connected = False
    try:
        async with open_websocket_url(
            url,
            ssl_context=trust,
            message_queue_size=1000,
            connect_timeout=_TIMEOUT_S,
            disconnect_timeout=1,
            receive_buffer_size=65536,
        ) as connection:
            connected = True
            yield connection
    except ConnectionRejected as rejected:
        raise Refused(read_problem(rejected.status_code, rejected.body or b"")) from None
    except ConnectionTimeout:
        raise Unreachable(addresses.stream, "no answer in time") from None
    except HandshakeError as error:
        if connected:  # a slow closing handshake after all was said: nothing is lost by it
            return
        raise Unreachable(addresses.stream, why_no_tls(error) or str(error.__cause__ or error)) from None
