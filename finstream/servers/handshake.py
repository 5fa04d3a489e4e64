"""Who is let in to the stream: decided from the request's target and headers alone."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

import msgspec

from finstream.servers import problems
from finstream.servers.origins import Origins
from finstream.servers.problems import Problem, problem
from finstream.vocabulary.errors import RequestError

__all__ = ["STREAM_PATH", "client_of", "not_a_handshake", "raw_answer"]

STREAM_PATH = "/v1/stream"


def client_of(target: str, headers: Iterable[tuple[bytes, bytes]], origins: Origins) -> str:
    """The UUID that the handshake names; whether it is registered is for the sessions to say.

    Raises:
      RequestError: ``not-found``, ``foreign-origin``, ``invalid-field``.
    """
    path, _, query = target.partition("?")
    if path != STREAM_PATH:
        raise RequestError("not-found", f"the stream is at {STREAM_PATH}?client=UUID")
    for name, value in headers:
        if name.lower() == b"origin":
            origins.check_origin(value.decode("latin-1"))
    parameters = parse_qsl(query, keep_blank_values=True)
    for given, _ in parameters:
        if given != "client":
            given = given[:100]
            raise RequestError("invalid-field", f"the stream does not know the parameter {given!r}", field=f"?{given}")
    if len(parameters) != 1:
        raise RequestError("invalid-field", "name one client: POST /v1/clients registers it", field="?client")
    return parameters[0][1]


def raw_answer(what: Problem, *headers: str) -> bytes:
    """A whole HTTP/1.1 response after which the connection is closed."""
    body = msgspec.json.encode(what)
    lines = [
        f"HTTP/1.1 {what.status} ", f"Content-Type: {problems.MEDIA_TYPE}", f"Content-Length: {len(body)}",
        "Connection: close", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + body


def not_a_handshake() -> bytes:
    """The answer to what is no WebSocket handshake."""
    detail = f"connect with a WebSocket client (version 13) to {STREAM_PATH}?client=UUID; REST has addresses of its own"
    return raw_answer(problem("upgrade-required", detail), "Upgrade: websocket", "Sec-WebSocket-Version: 13")
