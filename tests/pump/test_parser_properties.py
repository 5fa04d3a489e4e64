"""The native parser against its twin, and what holds for every published message."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import parsers
import strategies
import twin
from hypothesis import event, example, given
from hypothesis import strategies as st
from twin.lines import ALIASES, KNOWN_TO_TICKS

NOW_NS = 1_763_700_000_000_000_000
BOUNDS = st.sampled_from([-1, 0, 60_000, 604_800_000, 2**62])


@given(
    line=strategies.lines,
    received_ns=st.one_of(st.just(NOW_NS), st.integers(0, 2**62)),
    seq=st.integers(1, 2**63 - 1),
    future_ms=BOUNDS,
    max_age_ms=BOUNDS,
    simulated=st.booleans(),
)
@strategies.examples(400)
def test_native_parser_agrees_with_its_twin(
    line: bytes, received_ns: int, seq: int, future_ms: int, max_age_ms: int, simulated: bool
) -> None:
    both = [
        parse(
            line, asset="some-asset", seq=seq, received_ns=received_ns, future_ms=future_ms, max_age_ms=max_age_ms,
            simulated=simulated,
        )
        for parse in (parsers.native, parsers.by_twin)
    ]
    event(both[1][1].decode() if both[1][0] == "rejected" else both[1][0])
    assert both[0] == both[1]


@given(line=strategies.ticks())
@strategies.examples(100)
def test_good_ticks_are_published(line: bytes) -> None:
    assert parsers.by_twin(line)[0] == "tick"
    assert parsers.native(line)[0] == "tick"


@given(line=strategies.hostile_lines)
@strategies.examples(500)
def test_hostile_lines(line: bytes) -> None:
    assert parsers.native(line) == parsers.by_twin(line)


@given(line=st.one_of(strategies.ticks(), strategies.nearly_good_lines))
@example(line=b'{"symbol":"A","price":1,"ts":1,"\\u0000":"\\u2028\xe2\x80\xa8"}')
@strategies.examples(200)
def test_published_messages_say_what_the_line_said(line: bytes) -> None:
    """Judged by stock JSON parsers, which share nothing with either of our own."""
    kind, message = parsers.native(line, received_ns=NOW_NS)
    if kind not in ("tick", "opaque"):
        return
    said, published = _exactly(line), _exactly(message)
    # Raw: a number like 1e999999 is passed on, although msgspec has no value for it.
    assert msgspec.json.decode(message, type=dict[str, msgspec.Raw]).keys() == published.keys()
    assert len(json.loads(message, object_pairs_hook=list)) == len(published)
    assert published["type"] == said.get("type", "tick") or said["type"] is None
    assert (published["asset"], published["seq"], published["ts_recv"]) == ("test", "1", str(NOW_NS // 1000))
    assert all(isinstance(published[name], _Written) for name in ("seq", "ts_event", "ts_recv"))
    known = {"type", "symbol", "ts"} if kind == "opaque" else KNOWN_TO_TICKS
    for name, value in said.items():
        first = ALIASES.get(name, name)
        if first not in known:
            assert published[name] == value
        elif first in ("type", "ts"):
            continue
        elif value is None:
            assert first not in published or first == "exchange"
        elif first in ("symbol", "side", "exchange", "trade_id", "event_id"):
            assert published[first] == value
        else:
            assert _value(published[first]) == _value(value)


def _exactly(text: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(text, parse_float=_Written, parse_int=_Written)
    return decoded


class _Written(str):
    """A number as it was written: no other type has them all."""

    __slots__ = ()


def _value(text: str) -> Decimal:
    mantissa = text.lower().partition("e")[0]
    return Decimal(text) if mantissa.strip("-0.") else Decimal(0)  # 0e99999999999999999999 is too much for Decimal


@given(
    name=strategies.written_string(st.text(strategies.CHARACTERS, min_size=1, max_size=6)),
    value=strategies.json_values,
    data=st.data(),
)
@strategies.examples(300)
def test_unknown_members_stay_byte_for_byte(name: bytes, value: bytes, data: st.DataObject) -> None:
    members = [(b'"symbol"', b'"A"'), (b'"price"', b"1"), (b'"ts"', b"1"), (b'"~"', b"[0]"), (name, value)]
    for kind in (b'"tick"', b'"news"'):
        line = data.draw(strategies.spaced([(b'"type"', kind), *members]))
        outcome, message = parsers.native(line)
        if outcome == "rejected":
            assert (outcome, message) == parsers.by_twin(line)
        elif json.loads(name) not in KNOWN_TO_TICKS | ALIASES.keys():
            assert message.endswith(b',"~":[0],' + name + b":" + value + b"}")


@given(line=strategies.ticks(), data=st.data())
@strategies.examples(100)
def test_every_beginning_of_a_good_tick_is_no_tick(line: bytes, data: st.DataObject) -> None:
    beginning = line[: data.draw(st.integers(0, len(line.rstrip(b" \t\r")) - 1))]
    expected = ("rejected", b"not_json") if beginning.strip(b" \t\r") else ("ignored", b"")
    assert parsers.by_twin(beginning) == expected
    assert parsers.native(beginning) == expected


@given(counts=st.lists(st.integers(0, 40), min_size=2, max_size=60), seed=st.integers(0, 3))
@strategies.examples(100)
def test_duplicates_among_many_members(counts: list[int], seed: int) -> None:
    """Few names are compared with each other, many go through a table: both must find the second of its name."""
    names = [b"\\u006d%d" % count if (count + seed) % 3 == 0 else b"m%d" % count for count in counts]
    members = b",".join(b'"%s":%d' % (name, at) for at, name in enumerate(names))
    line = b'{"symbol":"A","price":1,"ts":1,' + members + b"}"
    result = twin.parse_line(line)
    assert isinstance(result, twin.Rejected) == (len(set(counts)) < len(counts))
    assert parsers.native(line) == parsers.by_twin(line)
