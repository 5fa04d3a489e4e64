"""Reading JSON from outside: bytes to a typed request, or an error that names the member.

Members that stand twice are refused: which one is meant, nobody knows, and a proxy before us may have judged by the other.
"""

from __future__ import annotations

import json
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
      RequestError: ``malformed-body`` for what is no JSON; ``invalid-field``, with the member's path, for JSON that does not
        fit; ``unknown-operation`` where ``op`` names none.
    """
    try:
        request = decoder.decode(data)
        # Only now: in what fits there is one object, in what does not there may be a hundred thousand.
        _once.decode(data if isinstance(data, str) else data.decode())
        return request
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
        if said in {f"Invalid value {tag!r}" for tag in _tags(decoder.type)}:  # a known one, but another than the first
            raise _repeated("op")
        raise RequestError("unknown-operation", said, field=path)
    if said.startswith("Invalid enum value") and (choices := _choices(decoder.type, path)):
        said = f"{said}: write {' or '.join(choices)}"
    raise RequestError("invalid-field", said, field=path)


def _require_once(members: list[tuple[str, Any]]) -> None:
    """No request of ours holds objects inside of itself, so the path of a member is its name."""
    names = [name for name, _ in members]
    if len(set(names)) < len(names):
        raise _repeated(next(name for name in names if names.count(name) > 1))


_once = json.JSONDecoder(object_pairs_hook=_require_once, parse_int=str, parse_float=str)


def _repeated(name: str) -> RequestError:
    return RequestError("invalid-field", f"the member {name!r} is given more than once", field=f"$.{name}")


def _tags(kind: Any) -> list[Any]:
    return [struct.__struct_config__.tag for struct in get_args(kind) or (kind,)]


def _choices(kind: Any, path: str) -> tuple[str, ...]:
    """The words that a member of the outermost object may be, where it may be only some."""
    for struct in get_args(kind) or (kind,):
        for member in msgspec.structs.fields(struct):
            if path == f"$.{member.encode_name}":
                for possible in (member.type, *get_args(member.type)):  # itself, or beside null
                    if get_origin(possible) is Literal:
                        return get_args(possible)
    return ()
