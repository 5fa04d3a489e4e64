"""Hypothesis strategies for lines: good ones of every form, nearly good ones, hostile ones.

Everything is drawn as the raw bytes of JSON text, for how a value is written (escapes, white space, exponents) matters.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from rejected import REJECTED
from twin.lines import ALIASES, DECIMALS, KNOWN_TO_TICKS, RESERVED
from twin.timestamps import END_NS, SECOND_NS

__all__ = [
    "CHARACTERS", "EFFORT", "decimal_texts", "examples", "hostile_lines", "json_values", "lines", "nearly_good_lines",
    "seeds", "spaced", "ticks", "timestamp_texts", "written_string",
]

SPACE = st.sampled_from([b""] * 6 + [b" ", b"\t", b"\r", b" \t \r"])
SHORT_ESCAPES = {
    '"': b'\\"', "\\": b"\\\\", "/": b"\\/", "\b": b"\\b", "\f": b"\\f", "\n": b"\\n", "\r": b"\\r", "\t": b"\\t"
}
CHARACTERS = st.characters(exclude_categories=["Cs"])
NAMES = {name: [name, *(alias for alias, first in ALIASES.items() if first == name)] for name in KNOWN_TO_TICKS}


EFFORT = float(os.environ.get("FINSTREAM_TEST_EFFORT", "1"))
"""Scales how much is tried where much could be: 0.05 under the sanitizers, 100 over night."""


def examples(count: int) -> Any:
    """How many examples a test tries."""
    return settings(max_examples=max(5, int(count * EFFORT)), deadline=None)


def seeds(count: int) -> range:
    """The seeds of a test that chooses at random itself."""
    return range(max(min(count, 3), int(count * EFFORT)))


def _written_character(character: str, form: int) -> bytes:
    """Form 0: as short as possible; 1 and 2: as an escape, the hexadecimal digits in lower and upper case."""
    if form == 0:
        if character in '"\\' or character < " ":
            return SHORT_ESCAPES.get(character, b"\\u%04x" % ord(character))
        return character.encode()
    if character in SHORT_ESCAPES and form == 1:
        return SHORT_ESCAPES[character]
    units = character.encode("utf-16-be")
    template = b"\\u%04x" if form == 1 else b"\\u%04X"
    return b"".join(template % int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))


@st.composite
def written_string(draw: st.DrawFn, text: str | st.SearchStrategy[str]) -> bytes:
    """A string as JSON may write it, with its quotes."""
    content = text if isinstance(text, str) else draw(text)
    if draw(st.booleans()):
        forms = [0] * len(content)
    else:
        forms = draw(st.lists(st.sampled_from([0, 0, 1, 2]), min_size=len(content), max_size=len(content)))
    return b'"' + b"".join(map(_written_character, content, forms)) + b'"'


# --- values ---

json_numbers = st.one_of(
    st.integers().map(str),
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,20})?\Z"),
).map(str.encode)


@st.composite
def _array(draw: st.DrawFn, values: st.SearchStrategy[bytes]) -> bytes:
    elements = [draw(SPACE) + value + draw(SPACE) for value in draw(st.lists(values, max_size=3))]
    return b"[" + (b",".join(elements) or draw(SPACE)) + b"]"


@st.composite
def _object(draw: st.DrawFn, values: st.SearchStrategy[bytes]) -> bytes:
    names = draw(st.lists(written_string(st.text(CHARACTERS, max_size=4)), max_size=3))
    return draw(spaced([(name, draw(values)) for name in names]))


@st.composite
def spaced(draw: st.DrawFn, members: list[tuple[bytes, bytes]]) -> bytes:
    """An object of members that are written already, with white space anywhere."""
    parts = [draw(SPACE) + name + draw(SPACE) + b":" + draw(SPACE) + value + draw(SPACE) for name, value in members]
    return b"{" + (b",".join(parts) or draw(SPACE)) + b"}"


json_values = st.recursive(
    st.one_of(
        st.sampled_from([b"null", b"true", b"false", b"0", b"-0.0", b'""', b"1e999999"]),
        json_numbers,
        written_string(st.text(CHARACTERS, max_size=8)),
    ),
    lambda values: st.one_of(_array(values), _object(values)),
    max_leaves=6,
)


@st.composite
def decimal_texts(draw: st.DrawFn, *, smallest: int = 0) -> str:
    """A number that fits, in one of the many ways to write it."""
    mantissa = draw(
        st.one_of(st.integers(smallest, 10**6), st.integers(smallest, 2**96 - 1), st.integers(2**96 - 20, 2**96 - 1))
    )
    scale = draw(st.integers(0, 28))
    shift = draw(st.one_of(st.just(0), st.integers(-40, 40)))
    text = _point(str(mantissa), scale + shift)
    if zeros := draw(st.sampled_from([0, 0, 1, 30])):
        text += ("" if "." in text else ".") + "0" * zeros
    if shift or draw(st.booleans()):
        text += draw(st.sampled_from("eE")) + draw(st.sampled_from([str(shift), f"{shift:+d}", f"{shift:+05d}"]))
    return text


def _point(digits: str, places: int) -> str:
    """``digits`` with ``places`` of them behind the point."""
    if places <= 0:
        return digits + "0" * -places if digits != "0" else "0"
    digits = digits.rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


@st.composite
def timestamp_texts(draw: st.DrawFn) -> str:
    """A time stamp in one of the accepted forms."""
    form = draw(st.sampled_from(["number", "extended", "basic"]))
    if form == "number":
        return draw(_epoch_texts())
    second, minute, hour = draw(st.integers(0, 60)), draw(st.integers(0, 59)), draw(st.integers(0, 23))
    year, month, day = draw(st.integers(1971, 2198)), draw(st.integers(1, 12)), draw(st.integers(1, 28))
    dash, colon = ("-", ":") if form == "extended" else ("", "")
    text = f"{year}{dash}{month:02}{dash}{day:02}" + draw(st.sampled_from("Tt ")) + f"{hour:02}{colon}{minute:02}"
    if draw(st.booleans()):
        text += f"{colon}{second:02}"
        if draw(st.booleans()):
            text += draw(st.sampled_from(".,")) + draw(st.text("0123456789", min_size=1, max_size=30))
    return text + draw(st.sampled_from(["", "Z", "z", "+00", "-0400", "+05:30", "-23:59", "+2359"]))


@st.composite
def _epoch_texts(draw: st.DrawFn) -> str:
    ns = draw(st.one_of(st.integers(0, END_NS - 1), st.integers(1_700_000_000 * SECOND_NS, 1_800_000_000 * SECOND_NS)))
    unit = draw(st.sampled_from([9, 6, 3, 0]))
    if unit < 9:
        ns = max(ns, 10**17)  # of an earlier time, the magnitude would mean seconds
    whole, fraction = divmod(ns, 10**unit)
    return f"{whole}.{fraction:0{unit}d}" if unit and draw(st.booleans()) else str(whole)


def _bare_or_quoted(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.one_of(texts.map(str.encode), texts.map(lambda text: b'"%s"' % text.encode()), written_string(texts))


def _quoted_unless_number(text: str) -> bytes:
    return text.encode() if text.replace(".", "").isdigit() else b'"%s"' % text.encode()


SYMBOLS = st.one_of(
    st.sampled_from(["BTC/USDT", "AAPL", "x" * 64]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=16),
)
IDENTITIES = st.one_of(
    st.integers().map(str).map(str.encode), written_string(st.text(CHARACTERS, min_size=1, max_size=10))
)
GOOD_VALUES: dict[str, st.SearchStrategy[bytes]] = {
    **{name: _bare_or_quoted(decimal_texts()) for name in DECIMALS},
    "price": _bare_or_quoted(decimal_texts(smallest=1)),
    "symbol": written_string(SYMBOLS),
    "side": written_string(st.sampled_from(["buy", "sell"])),
    "ts": st.one_of(timestamp_texts().map(_quoted_unless_number), written_string(timestamp_texts())),
    "exchange": written_string(st.text(CHARACTERS, min_size=1, max_size=5)),
    "trade_id": IDENTITIES,
    "event_id": IDENTITIES,
}
TYPES = st.sampled_from(["tick", "tick", "status", "heartbeat", "news", 'a"b', "é"])
BROKEN_VALUES = st.sampled_from([
    b'""', b'"x"', b"-1", b"0", b"1e29", b"1e-29", b'"+1"', b'" 1"', b"true", b"{}", b"[]", b'"BUY"', b"1.0",
    b"9" * 129, b'"%s"' % (b"x" * 129), b'"2024-02-30T00:00Z"', b'"a\\u0000"', b"-0", b"null",
])


# --- lines ---


@st.composite
def _unknown_members(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    taken = RESERVED | KNOWN_TO_TICKS | ALIASES.keys()
    free = st.text(CHARACTERS, max_size=6).filter(lambda name: name not in taken)
    names = draw(st.lists(free, max_size=3, unique=True))
    return [(draw(written_string(name)), draw(json_values)) for name in names]


@st.composite
def ticks(draw: st.DrawFn) -> bytes:
    """A good tick: any members, in any order, by any of their names, nulls and unknown members among them."""
    optional = sorted(GOOD_VALUES.keys() - {"symbol", "ts"})
    chosen = draw(st.lists(st.sampled_from(optional), unique=True, max_size=len(optional)))
    if not {"price", "bid_price", "bid_volume", "ask_price", "ask_volume"} & set(chosen):
        chosen.append("price")
    nulls = draw(st.lists(st.sampled_from(["type", *optional]), unique=True, max_size=3))
    members = [(name, draw(GOOD_VALUES[name])) for name in ["symbol", "ts", *chosen]]
    members += [(name, b"null") for name in nulls if name not in chosen]
    if "type" not in nulls and draw(st.booleans()):
        members.append(("type", draw(written_string("tick"))))
    written = [(draw(written_string(draw(st.sampled_from(NAMES[name])))), value) for name, value in members]
    return draw(SPACE) + draw(spaced(draw(st.permutations(written + draw(_unknown_members()))))) + draw(SPACE)


def _doubtful_value(name: str) -> st.SearchStrategy[bytes]:
    good = written_string(TYPES) if name == "type" else GOOD_VALUES.get(name, json_values)
    of_another = st.sampled_from(sorted(GOOD_VALUES)).flatmap(GOOD_VALUES.__getitem__)
    return st.one_of(good, good, good, good, BROKEN_VALUES, of_another)


@st.composite
def _doubtful_lines(draw: st.DrawFn) -> bytes:
    """Members enough for a tick; some of them with a value that is broken, or good for another member only."""
    names = [*draw(st.sampled_from([["symbol", "ts"]] * 8 + [["symbol"], ["ts"]]))]
    names += draw(st.lists(st.sampled_from([*sorted(KNOWN_TO_TICKS), *ALIASES, "price", "x"]), min_size=1, max_size=6))
    if draw(st.integers(0, 9)):
        names = list({ALIASES.get(name, name): name for name in names}.values())
    members = [(draw(written_string(name)), draw(_doubtful_value(ALIASES.get(name, name)))) for name in names]
    return draw(spaced(members))


FRAGMENTS = st.one_of(
    st.sampled_from([
        b'"', b"\\", b"\\u", b"\\ud800", b"\\udc00", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xc3",
        b"\xa9", b"-", b".", b"e", b"0", b"null", b'"seq":1', b'"x":1,', b'"symbol":"A",', b"\x1f", b" ", b"1e999999",
        b"\xed\xa0\x80", b"\xf0\x9f",
    ]),
    st.binary(max_size=4).map(lambda soup: soup.replace(b"\n", b"")),
)


@st.composite
def _damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    line = draw(whole)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(line)))
        until = draw(st.integers(at, min(len(line), at + 4)))
        match draw(st.sampled_from(["replace", "cut", "double"])):
            case "replace":
                line = line[:at] + draw(FRAGMENTS) + line[until:]
            case "cut":
                line = line[:at]
            case _:
                line = line[:until] + line[at:]
    return line


SHORT_REJECTED = [line for of_reason in REJECTED.values() for line in of_reason if len(line) < 400]
nearly_good_lines = st.one_of(_doubtful_lines(), _doubtful_lines(), _damaged(ticks()))
hostile_lines = st.one_of(
    st.lists(FRAGMENTS, max_size=20).map(b"".join),
    st.lists(FRAGMENTS, max_size=20).map(lambda parts: b'{"a":' + b"".join(parts)),
    st.lists(FRAGMENTS, max_size=20).map(lambda parts: b'{"a":"' + b"".join(parts)),
    _damaged(st.sampled_from(SHORT_REJECTED)),
)
lines = st.one_of(ticks(), nearly_good_lines)
