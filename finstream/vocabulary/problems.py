"""The kinds of problem that the REST API and the WebSocket stream report: RFC 9457's stable ``type``.

``docs/problems.md`` says for each what to do about it; a test holds the two against each other.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PROBLEMS", "ProblemKind", "type_uri"]


class ProblemKind(NamedTuple):
    status: int
    """The HTTP status it is answered with."""
    title: str


PROBLEMS: dict[str, ProblemKind] = {
    "malformed-request": ProblemKind(400, "The request cannot be understood"),
    "malformed-body": ProblemKind(400, "The body or message is not valid JSON"),
    "invalid-field": ProblemKind(400, "A member of the request is missing or wrong"),
    "unknown-operation": ProblemKind(400, "No such operation"),
    "invalid-topic": ProblemKind(400, "Not a topic"),
    "unauthorized": ProblemKind(401, "The admin token is missing or wrong"),
    "foreign-origin": ProblemKind(403, "Requests from this web origin are not allowed"),
    "foreign-host": ProblemKind(403, "Requests under this host name are not allowed"),
    "not-found": ProblemKind(404, "No such path"),
    "unknown-asset": ProblemKind(404, "No such asset"),
    "unknown-symbol": ProblemKind(404, "No such symbol"),
    "unknown-client": ProblemKind(404, "No such client: it was never registered, or its reconnection window is over"),
    "method-not-allowed": ProblemKind(405, "The path does not know this method"),
    "request-timeout": ProblemKind(408, "The body did not arrive in time"),
    "wrong-state": ProblemKind(409, "Not possible in the present state"),
    "body-too-large": ProblemKind(413, "The body is too large"),
    "unsupported-media-type": ProblemKind(415, "The body is not application/json"),
    "config-rejected": ProblemKind(422, "The configuration was rejected"),
    "too-many-topics": ProblemKind(422, "Too many topics for one client"),
    "upgrade-required": ProblemKind(426, "This address speaks WebSocket only"),
    "head-too-large": ProblemKind(431, "The head of the request is too large"),
    "internal-error": ProblemKind(500, "The engine failed to answer"),
    "too-many-clients": ProblemKind(503, "No more clients can be registered now"),
    "memory-pressure": ProblemKind(503, "Too much waits in memory: nobody new is let in now"),
    "not-ready": ProblemKind(503, "The engine does not serve subscribers now"),
}


def type_uri(problem: str) -> str:
    """The ``type`` member of a problem: a URI that never changes, the anchor in docs/problems.md."""
    return f"urn:finstream:problem:{problem}"
