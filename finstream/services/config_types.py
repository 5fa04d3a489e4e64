"""From plain objects to the types of :mod:`finstream.vocabulary.settings`.

The structs are walked here, member by member, instead of being converted in one go, so that an error can name the asset
it is about, unknown keys get a suggestion, and what YAML makes of ``NO`` is explained.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import Settings

__all__ = ["suggestion", "to_settings"]

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_NAMES: dict[object, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "a mapping",
}


def to_settings(document: Any, name: str) -> Settings:
    """``name`` stands for the file in errors about the document as a whole.

    Raises:
      ConfigError: a key is unknown or missing, or a value is not of its type.
    """
    if not isinstance(document, dict):
        remedy = "write `key: value` lines, like mode: production"
        raise ConfigError(name, f"holds {_name_of(document)} instead of keys", remedy)
    return _struct(document, Settings, "")


def suggestion(word: str, known: Iterable[str]) -> str:
    """A remedy for a name that is not known: the nearest one, or all of them."""
    known = sorted(known)
    if close := difflib.get_close_matches(word, known, n=1):
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(known)}" if known else "there are none yet"


def _struct(value: Any, kind: type[_Struct], where: str) -> _Struct:
    value = {} if value is None else value  # a section whose keys are all commented out
    if not isinstance(value, dict):
        raise ConfigError(where, f"expected keys below it, got {_name_of(value)}", "indent its keys, one a line")
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in value:
        if key not in fields:
            raise ConfigError(_below(where, key), "unknown key", suggestion(str(key), fields))
    for field in fields.values():
        if field.required and field.name not in value:
            raise ConfigError(_below(where, field.name), "is missing", f"give {_expected(field.type)}")
    return kind(**{key: _value(item, fields[key].type, _below(where, key)) for key, item in value.items()})


def _value(value: Any, kind: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(value, kind, where)
    if origin is dict:
        return _mapping(value, arguments[1], where)
    if origin is list:
        if not isinstance(value, list):
            raise ConfigError(where, f"expected a list, got {_name_of(value)}", f"write [{_example(value)}]")
        return [_value(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value)]
    if origin in (types.UnionType, Union):  # the second where one of the choices is a Literal
        if value is None and type(None) in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return _value(value, kind, where)
    return _scalar(value, kind, where)


def _mapping(value: Any, kind: Any, where: str) -> dict[str, Any]:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise ConfigError(where, f"expected names with values, got {_name_of(value)}", "write `name: value` lines")
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(_below(where, key), f"the name is read as {_name_of(key)}", _quoting(key))
    return {key: _value(item, kind, _below(where, key)) for key, item in value.items()}


def _scalar(value: Any, kind: Any, where: str) -> Any:
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            shown = repr(value) if isinstance(value, str) else _name_of(value)
            raise ConfigError(where, f"{shown} is not one of the choices", f"write {' or '.join(choices)}")
        return value
    if kind is float and type(value) is int and abs(value) < 1 << 53:
        value = float(value)
    # type(), because a bool is an int for isinstance
    if type(value) is not kind:
        raise ConfigError(where, f"expected {_NAMES[kind]}, got {_name_of(value)}", _conversion(value, kind))
    if kind is int and abs(value) >= 1 << 63:
        raise ConfigError(where, "the number is too large", "write a smaller one")
    if kind is float and not math.isfinite(value):
        raise ConfigError(where, f"{value} is not a usable number", "write a finite number")
    return value


def _conversion(value: Any, kind: Any) -> str:
    if kind is str and not isinstance(value, (list, dict)):
        return _quoting(value)
    if kind in (int, float) and isinstance(value, str):
        return "write the bare number, without quotes, unit or exponent; the unit is in the key's name"
    if kind is int and isinstance(value, float):
        return "write it without a fraction or an exponent"
    return f"write {_NAMES[kind]}"


def _quoting(value: Any) -> str:
    if isinstance(value, bool):
        words = "TRUE, YES and ON" if value else "FALSE, NO and OFF"
        return f'YAML reads bare {words} as {str(value).lower()}: quote it, like "{"ON" if value else "NO"}"'
    if value is None:
        return 'YAML reads an empty value, ~ and NULL as null: quote it, like "NULL"'
    return "quote it, as it is meant: YAML reads bare 1:30 as 90, 010 as 8 and 2026-01-01 as a date"


def _expected(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is list:
        return "a list, like [a, b]"
    return _NAMES.get(origin or kind, "a value")


def _example(value: Any) -> str:
    return value if isinstance(value, str) else "a, b"


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {value}" if abs(value) < 1 << 63 else "a huge number"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 60 else "a long text"
    return _NAMES.get(type(value), f"a {type(value).__name__}")


def _below(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
