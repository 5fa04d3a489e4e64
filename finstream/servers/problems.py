"""Problem details (RFC 9457): the one form in which every error leaves the servers."""

from __future__ import annotations

import msgspec

from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.problems import PROBLEMS, type_uri

__all__ = ["MEDIA_TYPE", "RETRY_AFTER", "Problem", "of_config_error", "of_request_error", "problem"]

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"not-ready": "1", "too-many-clients": "5", "memory-pressure": "5"}
"""The header of problems that pass, in seconds."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of an answer that tells of an error."""

    type: str
    """A URI that never changes; docs/problems.md says what to do about it."""
    title: str
    status: int
    detail: str
    field: str | None = None
    """The path of the offending member, like ``$.topics[1]``, or ``?symbol`` of the query."""
    remedy: str | None = None


def problem(name: str, detail: str, *, field: str | None = None, remedy: str | None = None) -> Problem:
    """Describe a problem; ``name`` is a key of :data:`finstream.vocabulary.problems.PROBLEMS`."""
    kind = PROBLEMS[name]
    return Problem(
        type=type_uri(name), title=kind.title, status=kind.status, detail=detail, field=field, remedy=remedy or None
    )


def of_request_error(error: RequestError) -> Problem:
    return problem(error.problem, error.detail, field=error.field)


def of_config_error(error: ConfigError) -> Problem:
    return problem("config-rejected", error.problem, field=error.where, remedy=error.remedy)
