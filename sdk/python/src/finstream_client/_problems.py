"""RFC 9457 problem details, as the engine answers what it refuses."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from msgspec import Struct

from finstream_client.errors import Refused

__all__ = ["UNKNOWN_CLIENT", "read_problem"]

UNKNOWN_CLIENT = "unknown-client"


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
        problem.type or f"http-{status}",
        problem.detail or problem.title or known or f"HTTP status {status}",
        status=status,
        field=problem.field,
        remedy=problem.remedy,
        retry_after_s=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
    )
