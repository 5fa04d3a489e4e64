"""A child's standard error as log records."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from finstream.children.stderr_log import LineLog, log_lines


def texts(log: Any) -> list[str]:
    return [record["text"] for record in log.find("child says") if "text" in record]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line_log(log: Any, clock: Clock | None = None, **limits: Any) -> LineLog:
    return LineLog(log.logger(), clock=clock or Clock(), **limits)


def test_plain_lines_are_logged_as_they_are(log: Any) -> None:
    lines = line_log(log)
    lines.feed(b"connecting to venue\r\n\n  \nwe\xffird\nunfinished")
    assert texts(log) == ["connecting to venue", "we\\xffird"]
    lines.end()
    assert texts(log) == ["connecting to venue", "we\\xffird", "unfinished"]
    assert log.records[0] == {
        "event": "child says", "stream": "stderr", "text": "connecting to venue", "level": "info",
    }
    assert lines.last_line == "unfinished"


@pytest.mark.parametrize(
    ("line", "level", "text", "fields"),
    [
        (b'{"level":"warning","message":"late","by_ms":3}', "warning", "late", {"by_ms": 3}),
        (b'{"msg":"pino says","level":50,"pid":7}', "error", "pino says", {"pid": 7}),
        (b' {"event":"structlog says","level":"DEBUG"}', "debug", "structlog says", {}),
        (b'{"level":"Fatal","message":"over"}', "error", "over", {}),
        # What is no log record of a known form stays text.
        (b'{"level":"shouting","message":"x"}', "info", '{"level":"shouting","message":"x"}', {}),
        (b'{"level":"info","message":{"no":"text"}}', "info", '{"level":"info","message":{"no":"text"}}', {}),
        (b'{"level":["info"],"message":"x"}', "info", '{"level":["info"],"message":"x"}', {}),
        (b'{"level":true,"message":"x"}', "info", '{"level":true,"message":"x"}', {}),
        (b'{"message":"no level"}', "info", '{"message":"no level"}', {}),
        (b'{"broken', "info", '{"broken', {}),
        (b"[1]", "info", "[1]", {}),
    ],
)
def test_json_lines_keep_their_level(log: Any, line: bytes, level: str, text: str, fields: dict[str, Any]) -> None:
    line_log(log).feed(line + b"\n")
    [record] = log.records
    assert (record["level"], record["text"], record.get("fields", {})) == (level, text, fields)


def test_a_member_cannot_pass_for_a_field_of_ours(log: Any) -> None:
    line_log(log).feed(b'{"level":"info","message":"x","event":"y","asset":"z","stream":"w"}\n')
    [record] = log.records
    assert record == {
        "event": "child says", "stream": "stderr", "text": "x", "level": "info",
        "fields": {"event": "y", "asset": "z", "stream": "w"},
    }


def test_a_flood_is_limited_and_counted(log: Any) -> None:
    clock = Clock()
    lines = line_log(log, clock, lines_per_s=10, burst=5)
    lines.feed(b"".join(b"line %d\n" % n for n in range(1000)))
    assert texts(log) == [f"line {n}" for n in range(5)]
    assert lines.suppressed == 995
    clock.now = 0.3
    lines.feed(b"later\n")
    assert log.records[-2] == {
        "event": "child says too much; lines were left out", "stream": "stderr", "lines": 995, "level": "warning",
    }
    assert texts(log)[-1] == "later"
    lines.feed(b"\n".join([b"again"] * 10))
    lines.end()
    assert log.find("child says too much")[-1]["lines"] == 10 - texts(log).count("again")


def test_an_endless_line_is_cut_once(log: Any) -> None:
    lines = line_log(log)
    for _ in range(1000):
        lines.feed(b"x" * 1000)
    lines.feed(b"tail\nnext\n")
    [first, second] = texts(log)
    assert first.startswith("x" * 8192)
    assert len(first) == 8193
    assert second == "next"


@given(data=st.lists(st.sampled_from([b"a", b"bc", b"\n", b"d" * 5000, b" "])), cuts=st.integers(1, 7))
def test_it_does_not_matter_where_reads_are_cut(data: list[bytes], cuts: int) -> None:
    class Keep:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def info(self, _event: str, /, **fields: Any) -> None:
            self.texts.append(fields["text"].strip())

        debug = warning = error = info

        def bind(self, **_fields: Any) -> Any:
            return self

    whole, pieces, stream = Keep(), Keep(), b"".join(data)
    one, many = LineLog(whole, clock=Clock(), burst=1e9), LineLog(pieces, clock=Clock(), burst=1e9)
    one.feed(stream)
    one.end()
    for start in range(0, len(stream), cuts * 997):
        many.feed(stream[start : start + cuts * 997])
    many.end()
    assert [text[:8000] for text in whole.texts] == [text[:8000] for text in pieces.texts]


async def test_reads_a_pipe_to_its_end(log: Any) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo")
    os.close(writing)
    async with trio.lowlevel.FdStream(reading) as stream:
        await log_lines(stream, LineLog(log.logger()))
    assert texts(log) == ["one", "two"]


async def test_a_torrent_is_read_at_a_bounded_rate(log: Any, autojump_clock: trio.testing.MockClock) -> None:
    sending, receiving = trio.testing.memory_stream_one_way_pair()

    async def send() -> None:
        for _ in range(48):
            await sending.send_all(b"torrent\n" * 8192)
        await sending.aclose()

    lines = LineLog(log.logger())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await log_lines(receiving, lines)
    assert len(texts(log)) + lines.suppressed == 48 * 8192
    assert 2.0 <= trio.current_time() <= 3.1  # 3 MiB at 1 MiB a second
