"""Frames, by the compiled function and by its twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from finstream_client import ProtocolViolation, _frames
from finstream_client._frames import CLOSE, PING, TEXT, FrameReader, encode, split_in_python
from finstream_client._splitter import split as split_compiled

LIMIT = 1 << 20


def frame(payload: bytes, opcode: Opcode = Opcode.TEXT, *, final: bool = True) -> bytes:
    """As another library writes a server's."""
    return Frame(opcode, payload, fin=final).serialize(mask=False)


@pytest.fixture(params=[split_in_python, split_compiled], ids=["python", "compiled"])
def split(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(_frames, "split", request.param)
    return request.param


def test_the_compiled_one_is_used() -> None:
    assert _frames.split is split_compiled
    assert _frames.is_compiled


@given(st.binary(max_size=400), st.sampled_from([0, 100, LIMIT]))
def test_both_cut_alike(data: bytes, limit: int) -> None:
    def told(split: Callable[..., Any]) -> Any:
        try:
            return split(data, limit)
        except ValueError as error:
            return str(error)

    assert told(split_in_python) == told(split_compiled)


@given(st.lists(st.binary(max_size=300) | st.integers(65_500, 66_000).map(bytes), max_size=8), st.lists(st.integers(1, 70_000)))
def test_frames_come_whole_however_they_arrive(payloads: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(frame, payloads))
    reader, got = FrameReader(), []
    for size in [*sizes, len(stream)]:
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got == payloads


def test_fragments_are_joined_around_control_frames(split: Any) -> None:
    stream = (
        frame(b"one")
        + frame(b"tw", final=False)
        + frame(b"are you there", Opcode.PING)
        + frame(b"o", Opcode.CONT, final=False)
        + frame(b"!", Opcode.CONT)
        + frame(b"three")
        + frame(b"\x03\xe8", Opcode.CLOSE)
    )
    assert FrameReader().feed(stream) == [b"one", (PING, b"are you there"), b"two!", b"three", (CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize(
    "stream",
    [
        Frame(Opcode.TEXT, b"x").serialize(mask=True),
        b"\x81\x7f" + (1 << 63).to_bytes(8),
        b"\x81\x7f" + (17 << 20).to_bytes(8),
        b"\xc1\x01x",
        frame(b"x", Opcode.BINARY),
        frame(b"x", Opcode.CONT),
        frame(b"x", final=False) + frame(b"y"),
        b"\x09\x01x",
        b"\x89\x7e\x00\x7e" + bytes(126),
        b"\x8b\x00",
    ],
    ids=["masked", "enormous", "too large", "extension", "binary", "nothing to continue", "not continued", "cut ping", "long ping",
         "unknown control"],
)  # fmt: skip
def test_what_breaks_the_protocol(stream: bytes, split: Any) -> None:
    with pytest.raises(ProtocolViolation):
        FrameReader().feed(stream)


def test_a_message_of_many_fragments_is_bounded(split: Any) -> None:
    reader = FrameReader(max_bytes=1000)
    reader.feed(frame(bytes(600), final=False))
    with pytest.raises(ProtocolViolation, match="more than 1000 bytes"):
        reader.feed(frame(bytes(600), Opcode.CONT))


@given(st.binary(max_size=300) | st.just(bytes(70_000)), st.binary(min_size=4, max_size=4))
def test_what_is_written_another_library_reads(payload: bytes, mask: bytes) -> None:
    data = encode(TEXT, payload, mask)
    reader = Frame.parse(_exactly(data), mask=True)
    with pytest.raises(StopIteration) as done:
        next(reader)
    assert done.value.value == Frame(Opcode.TEXT, payload)


def _exactly(data: bytes) -> Any:
    rest = bytearray(data)

    def read(count: int) -> Any:
        yield from ()
        taken = bytes(rest[:count])
        del rest[:count]
        return taken

    return read
