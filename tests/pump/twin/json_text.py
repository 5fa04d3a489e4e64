"""JSON (RFC 8259) read strictly from left to right; the first byte that cannot stand where it does decides the reason.

The end of the line inside of anything is ``not_json``: the line might have become valid. An escape or a UTF-8 sequence
is judged as soon as a byte cannot belong to it; half of a surrogate pair, once its four digits are complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, NoReturn

DEEPEST_LEVEL = 64
WHITE_SPACE = b" \t\r"  # the line feed is not in the line
QUOTE, BACKSLASH = b'"\\'
SIMPLE_ESCAPES = dict(zip(b'"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

UTF8_SECOND_BYTES: dict[int, range] = {
    **{first: range(0x80, 0xC0) for first in (*range(0xC2, 0xE0), *range(0xE1, 0xED), 0xEE, 0xEF, *range(0xF1, 0xF4))},
    0xE0: range(0xA0, 0xC0),  # below: written longer than necessary
    0xED: range(0x80, 0xA0),  # above: surrogates
    0xF0: range(0x90, 0xC0),  # below: written longer than necessary
    0xF4: range(0x80, 0x90),  # above: beyond U+10FFFF
}
"""First bytes of a sequence of two to four bytes, with what may follow directly."""


class LineError(Exception):
    """A line broke a rule; ``reason`` is a word of the vocabulary's REJECTIONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Kind(Enum):
    STRING = "string"
    NUMBER = "number"
    OBJECT = "object"
    ARRAY = "array"
    BOOLEAN = "boolean"
    NULL = "null"


class Value(NamedTuple):
    kind: Kind
    raw: bytes
    """As written in the line."""
    text: str = ""
    """What a string says, its escapes decoded."""


class Member(NamedTuple):
    name: str
    raw_name: bytes
    """As written in the line, with its quotes."""
    value: Value


def read_members(line: bytes, meet_name: Callable[[str], None] = lambda _name: None) -> list[Member]:
    """The members of the one object that a line holds.

    ``meet_name`` is called with each name as soon as it is read, and may raise a LineError of its own.
    """
    return _Reader(line).line(meet_name)


class _Reader:
    def __init__(self, line: bytes) -> None:
        self._line = line
        self._at = 0

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        if self._at == len(self._line):
            raise LineError("not_json")
        self._at += 1
        return self._line[self._at - 1]

    def _skip_white_space(self) -> None:
        while self._at < len(self._line) and self._line[self._at] in WHITE_SPACE:
            self._at += 1

    def _next_visible(self) -> bytes:
        self._skip_white_space()
        return bytes([self._next()])

    def _fail(self, reason: str = "not_json") -> NoReturn:
        raise LineError(reason)

    # --- structure ----------------------------------------------------------------------------------------------------

    def line(self, meet_name: Callable[[str], None]) -> list[Member]:
        if self._next_visible() != b"{":
            self._fail()
        members = self._members(1, meet_name)
        self._skip_white_space()
        if self._at != len(self._line):
            self._fail()
        return members

    def _members(self, level: int, meet_name: Callable[[str], None]) -> list[Member]:
        members: list[Member] = []
        mark = self._next_visible()
        if mark == b"}":
            return members
        while True:
            if mark != b'"':
                self._fail()
            start = self._at - 1
            name = self._string()
            raw_name = self._line[start : self._at]
            meet_name(name)
            if self._next_visible() != b":":
                self._fail()
            members.append(Member(name, raw_name, self._value(level)))
            mark = self._next_visible()
            if mark == b"}":
                return members
            if mark != b",":
                self._fail()
            mark = self._next_visible()

    def _elements(self, level: int) -> None:
        if self._next_visible() == b"]":
            return
        self._at -= 1
        while True:
            self._value(level)
            mark = self._next_visible()
            if mark == b"]":
                return
            if mark != b",":
                self._fail()

    def _value(self, level: int) -> Value:
        first = self._next_visible()
        start = self._at - 1
        text = ""
        if first == b'"':
            kind = Kind.STRING
            text = self._string()
        elif first in (b"{", b"["):
            if level == DEEPEST_LEVEL:
                self._fail("too_deep")
            if first == b"{":
                kind = Kind.OBJECT
                self._members(level + 1, lambda _name: None)
            else:
                kind = Kind.ARRAY
                self._elements(level + 1)
        elif number := NUMBER.match(self._line, start):
            kind = Kind.NUMBER
            self._at = number.end()
        else:
            kind = self._literal(start)
        return Value(kind, self._line[start : self._at], text)

    def _literal(self, start: int) -> Kind:
        for word, kind in ((b"true", Kind.BOOLEAN), (b"false", Kind.BOOLEAN), (b"null", Kind.NULL)):
            if self._line.startswith(word, start):
                self._at = start + len(word)
                return kind
        return self._fail()

    # --- strings ------------------------------------------------------------------------------------------------------

    def _string(self) -> str:
        """What follows an opening quote, up to and with the closing one."""
        characters: list[str] = []
        while True:
            byte = self._next()
            if byte == QUOTE:
                return "".join(characters)
            if byte == BACKSLASH:
                characters.append(self._escape())
            elif byte < 0x20:
                self._fail("control_character")
            elif byte < 0x80:
                characters.append(chr(byte))
            else:
                characters.append(self._utf8(byte))

    def _utf8(self, first: int) -> str:
        if first not in UTF8_SECOND_BYTES:
            self._fail("invalid_utf8")
        sequence = bytearray([first])
        allowed = UTF8_SECOND_BYTES[first]
        for _ in range(1 if first < 0xE0 else 2 if first < 0xF0 else 3):
            byte = self._next()
            if byte not in allowed:
                self._fail("invalid_utf8")
            sequence.append(byte)
            allowed = range(0x80, 0xC0)
        return sequence.decode()

    def _escape(self) -> str:
        letter = self._next()
        if letter in SIMPLE_ESCAPES:
            return SIMPLE_ESCAPES[letter]
        if letter != ord("u"):
            self._fail("invalid_escape")
        unit = self._four_digits()
        if 0xDC00 <= unit < 0xE000:
            self._fail("invalid_escape")
        if not 0xD800 <= unit < 0xDC00:
            return chr(unit)
        for expected in b"\\u":
            if self._next() != expected:
                self._fail("invalid_escape")
        second = self._four_digits()
        if not 0xDC00 <= second < 0xE000:
            self._fail("invalid_escape")
        return chr(0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00))

    def _four_digits(self) -> int:
        unit = 0
        for _ in range(4):
            digit = self._next()
            if digit not in b"0123456789abcdefABCDEF":
                self._fail("invalid_escape")
            unit = unit * 16 + int(chr(digit), 16)
        return unit
