"""RFC 9457 problem details, as the engine answers what it refuses."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from msgspec import Struct

from finstream_client.errors import PREFIX, Refused

__all__ = ["UNKNOWN_CLIENT", "may_pass", "read_problem"]

UNKNOWN_CLIENT = "unknown-client"
_NO_ENGINE = "http-"
"""Before the status of an answer that is not an engine's own."""


class _Problem(Struct):
    type: str = ""
    title: str = ""
    detail: str = ""
    field: str | None = None
    remedy: str | None = None


_decoder = msgspec.json.Decoder(_Problem)


def read_problem(status: int, body: bytes, retry_after: str = "") -> Refused:
    """``retry_after`` is the header's value; dates in it are not understood."""
    try:
        problem = _decoder.decode(body)
    except msgspec.DecodeError:  # something in between answered, not the engine
        problem = _Problem()
    known = next((one.phrase for one in HTTPStatus if one.value == status), "")
    return Refused(
        problem.type if problem.type.startswith(PREFIX) else f"{_NO_ENGINE}{status}",
        problem.detail or problem.title or known or f"HTTP status {status}",
        status=status,
        field=problem.field,
        remedy=problem.remedy,
        retry_after_s=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
    )


def may_pass(refusal: Refused, *, is_known: bool) -> bool:
    """Whether to ask again. ``is_known``: there was an engine at this address, so that only its own word is final; a
    proxy, or the gate of a hotel's network, says something else by and by."""
    return refusal.status >= 500 or refusal.status == 429 or (is_known and refusal.problem.startswith(_NO_ENGINE))
