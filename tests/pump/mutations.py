"""Spoil a line, knowing how lines are made: the fuzzer's imagination."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import twin
from twin.lines import ALIASES, KNOWN_TO_TICKS, RESERVED

__all__ = ["mutate"]

NAMES = [name.encode() for name in sorted(KNOWN_TO_TICKS | ALIASES.keys() | RESERVED)]
VALUES = [
    b"null", b"true", b"false", b"0", b"-0", b"1", b"-1", b'""', b'"0"', b'"-"', b'"buy"', b'"sell"', b'"tick"',
    b'"status"', b'"heartbeat"', b'"news"', b"{}", b"[]", b"[[]]", b'{"a":{}}', b"1e28", b"1e29", b"1e-28", b"1e-29",
    b"1e999999", b"1e-999999", b"1e99999999999999999999", b"79228162514264337593543950335",
    b"79228162514264337593543950336", b"7.9228162514264337593543950335", b"18446744073709551615",
    b"18446744073709551616", b"9223372036854775808", b"0.0000000000000000000000000001",
    b"0.00000000000000000000000000001", b"99999999999", b"100000000000", b"99999999999999", b"100000000000000",
    b"99999999999999999", b"100000000000000000", b"7258118399", b"7258118400", b"7258118399999999999",
    b"7258118400000000000", b"1716230000.123456789123", b'"2024-05-20T18:33:20.123Z"', b'"20240520T183320,5-0400"',
    b'"2024-03-10T02:30:00"', b'"2024-11-03 01:30"', b'"2199-12-31T23:59:60Z"', b'"1970-01-01T00:00-00:01"',
    b'"\\u0000"', b'"\\ud83d\\ude00"', b'"\\ud83d"', b'"\\ude00"', b'"\xf0\x9f\x98\x80"', b'"\xed\xa0\x80"', b'"\xff"',
    b'"\\"', b'"\\\\"', b'"' + b"x" * 64 + b'"', b'"' + b"x" * 65 + b'"', b'"' + b"\xc3\xa9" * 32 + b'"',
    b'"' + b"\\u00e9" * 33 + b'"', b'"' + b"1" * 129 + b'"', b"1" * 128, b"1" * 129, b"0." + b"0" * 300 + b"1",
    b"1" + b"0" * 300, b"[" * 63 + b"]" * 63, b"[" * 64 + b"]" * 64, b'{"a":' * 62 + b"[]" + b"}" * 62,
]
NUMBERS = [value for value in VALUES if value[:1].isdigit()]
FRAGMENTS = [
    b'"', b"\\", b"\\u", b"\\u00", b"\\ud800", b"\\udfff", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\t", b"\r",
    b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xbf", b"\xc0\x80", b"\xc2", b"\xe0\x80", b"\xed\xa0\x80", b"\xf4\x90",
    b"\xff", b"-", b"+", b".", b"e", b"E+", b"0", b"00", b"T", b"Z", b'":"', b'","', b'":{"', b'"}', b"null", b"tru",
    b'"x":1,', b'"seq":1,', b"\xef\xbb\xbf",
]

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutate(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    """One to four changes, of the whole members of the line (while it is still JSON) or of its bytes."""
    for _ in range(choose.choice([1, 1, 1, 1, 2, 2, 3, 4])):
        line = choose.choice(MUTATIONS)(choose, line, seeds)
    return line[:200_000]


# --- of members ---


def _by_members(change: Callable[[random.Random, list[tuple[bytes, bytes]]], None]) -> Mutation:
    def mutation(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
        try:
            members = [(member.raw_name, member.value.raw) for member in twin.read_members(line)]
        except twin.LineError:
            return _splice(choose, line, seeds)
        change(choose, members)
        return b"{" + b",".join(name + b":" + value for name, value in members) + b"}"

    return mutation


def _any(choose: random.Random, members: list[tuple[bytes, bytes]]) -> int:
    if not members:
        members.append((b'"symbol"', b'"A"'))
    return choose.randrange(len(members))


def _drop(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    del members[_any(choose, members)]


def _add(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    members.insert(choose.randint(0, len(members)), (b'"%s"' % choose.choice(NAMES), choose.choice(VALUES)))


def _revalue(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    at = _any(choose, members)
    members[at] = members[at][0], choose.choice(VALUES)


def _rename(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    at = _any(choose, members)
    members[at] = b'"%s"' % choose.choice(NAMES), members[at][1]


def _exchange_values(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    one, other = _any(choose, members), _any(choose, members)
    members[one], members[other] = (members[one][0], members[other][1]), (members[other][0], members[one][1])


def _shuffle(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    choose.shuffle(members)


def _nest(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    at, depth = _any(choose, members), choose.choice([1, 2, 60, 62, 63, 64, 65])
    before, after = choose.choice([(b"[", b"]"), (b'{"a":', b"}")])
    members[at] = members[at][0], before * depth + members[at][1] + after * depth


def _crowd(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    count = choose.choice([5, 11, 12, 13, 40, 500])
    members += [(b'"m%d"' % (number if choose.random() < 0.999 else 0), b"0") for number in range(count)]


def _escape_name(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    at = _any(choose, members)
    name = members[at][0]
    spot = choose.randrange(1, len(name)) if len(name) > 2 else 0
    if spot and name[spot : spot + 1].isalnum() and b"\\" not in name:
        members[at] = name[:spot] + b"\\u%04x" % name[spot] + name[spot + 1 :], members[at][1]


def _quote_or_bare(choose: random.Random, members: list[tuple[bytes, bytes]]) -> None:
    at = _any(choose, members)
    name, value = members[at]
    members[at] = name, value[1:-1] if value.startswith(b'"') else b'"%s"' % value


# --- of bytes ---


def _insert(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    at = choose.randint(0, len(line))
    return line[:at] + choose.choice(FRAGMENTS) + line[at + choose.choice([0, 0, 1, 2]) :]


def _flip(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    if not line:
        return b"{"
    at = choose.randrange(len(line))
    return line[:at] + bytes([line[at] ^ 1 << choose.randrange(8)]) + line[at + 1 :]


def _cut(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    return line[: choose.randint(0, len(line))]


def _take_out(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    at = choose.randint(0, len(line))
    return line[:at] + line[at + choose.choice([1, 2, 5, 20]) :]


def _double(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    at = choose.randint(0, len(line))
    until = min(len(line), at + choose.choice([1, 3, 10, 100]))
    return line[:until] + line[at:until] * choose.choice([0, 1, 30]) + line[until:]


def _splice(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    other = choose.choice(seeds)
    return line[: choose.randint(0, len(line))] + other[choose.randint(0, len(other)) :]


def _renumber(choose: random.Random, line: bytes, seeds: Sequence[bytes]) -> bytes:
    numbers = list(re.finditer(rb"[0-9]+", line))
    if not numbers:
        return line
    number = choose.choice(numbers)
    digits = choose.choice([*NUMBERS, number[0] + b"0", b"0" + number[0], number[0] * 3, number[0][:-1]])
    return line[: number.start()] + digits + line[number.end() :]


OF_MEMBERS = [
    _drop, _add, _add, _revalue, _revalue, _revalue, _revalue, _rename, _exchange_values, _shuffle, _nest, _crowd,
    _escape_name, _quote_or_bare,
]
OF_BYTES: list[Mutation] = [_insert, _flip, _cut, _take_out, _double, _splice, _renumber, _renumber]
MUTATIONS: list[Mutation] = [*map(_by_members, OF_MEMBERS), *OF_BYTES]
