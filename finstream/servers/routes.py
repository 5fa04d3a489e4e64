"""A REST interface as a table: from it come the running server (``http``) and its OpenAPI description (``openapi``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

__all__ = ["SAFE_METHODS", "Call", "Nothing", "Route", "needs_body"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request that takes none: absent, or an empty object."""


def needs_body(kind: type[msgspec.Struct]) -> bool:
    """Whether a request with such a body may not come without any."""
    return any(field.required for field in msgspec.structs.fields(kind))


class Call(NamedTuple):
    """One request, read and checked."""

    arguments: Mapping[str, str]
    """From the path, by the names in ``Route.path``."""
    query: Mapping[str, str]
    body: Any
    """An instance of ``Route.body``."""
    origin: str
    """Who asks, for the records: ``rest 127.0.0.1:54321``."""


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """``handler`` returns what ``answer`` says; it may raise RequestError and ConfigError."""

    method: str
    path: str
    """Parameters in braces: ``/v1/clients/{uuid}``."""
    operation: str
    """A name for client generators, unique in its interface."""
    summary: str
    handler: Handler
    answer: Any = None
    """A type; None for an answer without a body."""
    media_type: str = "application/json"
    """Of the answer; for any other the handler returns the text itself, and ``answer`` is ``str``."""
    status: int = 200
    body: type[msgspec.Struct] = Nothing
    query: Mapping[str, str] = field(default_factory=dict)
    """The query's parameters with their descriptions; all are optional."""
    problems: tuple[str, ...] = ()
    """Its own; those that any request can meet need no mention."""
