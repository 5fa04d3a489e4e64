"""Reading JSON from outside: bytes to a typed request, or an error that names the member."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar, get_args, get_origin

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
    if said.startswith("Invalid enum value") and (choices := _choices(decoder.type, path)):
        said = f"{said}: write {' or '.join(choices)}"
    raise RequestError("invalid-field", said, field=path)


def _choices(kind: Any, path: str) -> tuple[str, ...]:
    """The words that a member of the outermost object may be, where it may be only some."""
    for struct in get_args(kind) or (kind,):
        for member in msgspec.structs.fields(struct):
            if path == f"$.{member.encode_name}":
                for possible in (member.type, *get_args(member.type)):  # itself, or beside null
                    if get_origin(possible) is Literal:
                        return get_args(possible)
    return ()
