"""Reading JSON from outside: bytes to a typed request, or an error that names the member."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from finstream.vocabulary.errors import RequestError

__all__ = ["read_json"]

_T = TypeVar("_T")
_PATH = re.compile(r" - at `(\$[^`]*)`$")
_MEMBER = re.compile(r"^Object (?:missing required|contains unknown) field `([^`]*)`")


def read_json(data: bytes | str, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Decode ``data``.

    Raises:
      RequestError: ``malformed-body`` for what is no JSON; ``invalid-field``, with the member's path, for JSON that
      does not
        fit; ``unknown-operation`` where ``op`` names none.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        message = str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("malformed-body", str(error)) from None
    found = _PATH.search(message)
    said = message[: found.start()] if found else message
    path = found.group(1) if found else "$"
    if member := _MEMBER.match(said):
        path = f"{path}.{member.group(1)}"
    if path == "$.op" and said.startswith("Invalid value"):
        raise RequestError("unknown-operation", said, field=path)
    raise RequestError("invalid-field", said, field=path)
