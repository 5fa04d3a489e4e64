from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finstream.servers.reading import read_json
from finstream.vocabulary.commands import LogLevelRequest, Ping, StreamRequest, Subscribe, TopicList
from finstream.vocabulary.errors import RequestError

requests = msgspec.json.Decoder(StreamRequest)
topic_lists = msgspec.json.Decoder(TopicList)


def refusal(data: bytes | str, decoder: msgspec.json.Decoder[object] = requests) -> tuple[str, str | None]:
    with pytest.raises(RequestError) as raised:
        read_json(data, decoder)
    return raised.value.problem, raised.value.field


def test_reads() -> None:
    assert read_json('{"op":"subscribe","topics":["a"],"id":7}', requests) == Subscribe(topics=["a"], id=7)
    assert read_json(b'{"id":"x","op":"ping"}', requests) == Ping(id="x")
    assert read_json(b'{"topics":[]}', topic_lists) == TopicList(topics=[])


@pytest.mark.parametrize("data", ["", "{", "nonsense", '{"op":"ping"}x', "[" * 100_000, b"\xff\xfe"])
def test_no_json(data: str | bytes) -> None:
    problem, _field = refusal(data)
    assert problem in {"malformed-body", "invalid-field"}
    if data != "[" * 100_000:
        assert problem == "malformed-body"


@pytest.mark.parametrize(
    ("data", "problem", "field"),
    [
        ('{"op":"sell","topics":[]}', "unknown-operation", "$.op"),
        ('{"op":3}', "invalid-field", "$.op"),
        ('{"topics":[]}', "invalid-field", "$.op"),
        ('{"op":"subscribe"}', "invalid-field", "$.topics"),
        ('{"op":"subscribe","topics":["a",1]}', "invalid-field", "$.topics[1]"),
        ('{"op":"subscribe","topics":"a"}', "invalid-field", "$.topics"),
        ('{"op":"subscribe","topics":["a"],"since":3}', "invalid-field", "$.since"),
        ('{"op":"ping","id":{}}', "invalid-field", "$.id"),
        ("[]", "invalid-field", "$"),
        ('"ping"', "invalid-field", "$"),
    ],
)
def test_the_member_is_named(data: str, problem: str, field: str) -> None:
    assert refusal(data) == (problem, field)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ('{"op":"subscribe","topics":["a"],"topics":["b"]}', "topics"),
        ('{"op":"subscribe","topics":["a"],"policy":"skip","policy":"skip"}', "policy"),
        ('{"op":"subscribe","topics":["a"],"max_rate":1,"max_rate":2.5}', "max_rate"),
        ('{"op":"subscribe","topics":["a"],"\\u0074opics":["b"]}', "topics"),
        ('{"id":1,"op":"ping","id":2}', "id"),
        ('{"id":null,"op":"ping","id":null}', "id"),
        ('{"op":"ping","op":"ping"}', "op"),
        ('{"op":"ping","op":"subscribe","topics":["a"]}', "op"),
        (b'{"op":"subscribe","topics":["\xce\xa9"],"topics":["a"]}', "topics"),
    ],
)
def test_a_member_that_stands_twice_is_refused(data: str | bytes, name: str) -> None:
    with pytest.raises(RequestError, match=f"^the member '{name}' is given more than once$") as raised:
        read_json(data, requests)
    assert (raised.value.problem, raised.value.field) == ("invalid-field", f"$.{name}")


def test_only_members_count() -> None:
    data = '{"op":"subscribe","topics":["{\\"op\\":1,\\"op\\":2}","op","op"],"id":' + "1" * 18 + "}"
    assert isinstance(read_json(data, requests), Subscribe)


def test_what_may_be_written_instead_is_said() -> None:
    with pytest.raises(RequestError, match=r"write kill or skip or conflate$"):
        read_json('{"op":"subscribe","topics":["a"],"policy":"some"}', requests)
    with pytest.raises(RequestError, match=r"write debug or info or warning or error$"):
        read_json('{"level":"loud"}', msgspec.json.Decoder(LogLevelRequest))


@given(st.one_of(st.binary(), st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["op", "id", "topics"]) | st.text(), inner),
).map(msgspec.json.encode)))  # fmt: skip
def test_whatever_comes_is_read_or_refused(data: bytes | str) -> None:
    with suppress(RequestError):  # and nothing else
        read_json(data, requests)
