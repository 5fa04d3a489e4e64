"""Recordings: how they are read, at what pace they are told, and who may run them."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from finstream_ingestors.binance.mapper import BinanceMapper
from finstream_ingestors.kit.exits import MisconfiguredError
from finstream_ingestors.kit.lines import LineWriter
from finstream_ingestors.kit.recording import Recorded, Recording
from finstream_ingestors.kit.replay import Pace, replay

START_NS = 1_700_000_000_000_000_000


class Clock:
    """Stands still but for sleeping."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def read(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


class DatedWriter(LineWriter):
    """Notes by the clock when each batch leaves, and how many lines it holds."""

    def __init__(self, fd: int, clock: Clock) -> None:
        super().__init__(fd)
        self._clock = clock
        self.batches: list[tuple[float, int]] = []

    def flush(self) -> None:
        if self.has_pending:
            self.batches.append((round(self._clock.now_s - 1000.0, 6), self._buffer.count(b"\n")))
        super().flush()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(clock: Clock) -> Iterator[DatedWriter]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield DatedWriter(fd, clock)
    os.close(fd)


def trade(trade_id: int, event_ms: int = START_NS // 10**6, symbol: str = "ABCUSD") -> str:
    return json.dumps(
        {"e": "trade", "E": event_ms, "s": symbol, "t": trade_id, "p": "1.50", "q": "2", "T": event_ms - 1, "m": True}
    )


UPDATES = itertools.count(1)


def quote() -> str:
    return json.dumps({"u": next(UPDATES), "s": "ABCUSD", "b": "1", "B": "2", "a": "3", "A": "4"})


def record(path: Path, messages: list[str], offsets_s: list[float] | None = None) -> Path:
    path.write_text("".join(f"{message}\n" for message in messages))
    if offsets_s is not None:
        times = [START_NS + round(offset * 10**9) for offset in offsets_s]
        path.with_name(path.stem + ".recv.txt").write_text("".join(f"{time}\n" for time in times))
    return path


def play(path: Path, writer: LineWriter, clock: Clock, speed: float | None) -> None:
    pace = Pace(speed=speed, clock=clock.read, sleep=clock.sleep)
    replay(Recording(path), partial(BinanceMapper, {"ABCUSD": "ABC/USD"}), writer, pace)


@pytest.mark.parametrize(
    ("speed", "batches"),
    [
        (1.0, [(0.0, 1), (0.5, 2), (2.5, 1)]),
        (10.0, [(0.0, 1), (0.05, 2), (0.25, 1)]),
        (0.5, [(0.0, 1), (1.0, 2), (5.0, 1)]),
        (None, [(0.0, 4)]),
    ],
)
def test_the_pace_is_that_of_the_receive_times(
    speed: float | None, batches: list[tuple[float, int]], tmp_path: Path, writer: DatedWriter, clock: Clock
) -> None:
    path = record(tmp_path / "r.jsonl", [trade(number) for number in range(4)], [0.0, 0.5, 0.5, 2.5])
    play(path, writer, clock, speed)
    assert writer.batches == batches


def test_a_receive_time_that_runs_back_does_not_hold_up_what_follows(
    tmp_path: Path, writer: DatedWriter, clock: Clock
) -> None:
    path = record(tmp_path / "r.jsonl", [trade(number) for number in range(4)], [0.0, 1.0, 0.5, 1.25])
    play(path, writer, clock, 1.0)
    assert writer.batches == [(0.0, 1), (1.0, 2), (1.25, 1)]


def test_without_receive_times_the_pace_is_that_of_the_messages(
    tmp_path: Path, writer: DatedWriter, clock: Clock
) -> None:
    start_ms = START_NS // 10**6
    path = record(tmp_path / "r.jsonl", [trade(1, start_ms), quote(), trade(2, start_ms + 300), "broken", quote()])
    play(path, writer, clock, 1.0)
    assert [when for when, _ in writer.batches] == [0.0, 0.3, 0.3]  # the report of the broken message leaves at once


def lines_of(run: Callable[..., Any], path: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run("binance", "--replay", str(path), "--symbols", "ABC/USD", "--speed", "max", *arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_quotes_get_the_recorded_receive_time(tmp_path: Path, run: Callable[..., Any]) -> None:
    path = record(tmp_path / "r.jsonl", [quote(), trade(1), quote()])
    (tmp_path / "r.recv.txt").write_text("1633998512.0633569\n1633998512.1\n1633998513\n")
    _, first, _, last, _ = lines_of(run, path)
    assert first["ts"] == 1633998512063356900
    assert last["ts"] == 1633998513000000000


def test_quotes_before_the_first_time_get_that_time(tmp_path: Path, run: Callable[..., Any]) -> None:
    path = record(tmp_path / "r.jsonl", [quote(), trade(1, 1_700_000_000_000)])
    assert lines_of(run, path)[1]["ts"] == 1_700_000_000_000_000_000


def test_the_end_is_told_with_all_counts(tmp_path: Path, run: Callable[..., Any]) -> None:
    messages = [quote(), trade(1), trade(2, symbol="XYZUSD"), trade(3, symbol="XYZUSD"), '{"half a', '{"e":"kline"}']
    lines = lines_of(run, record(tmp_path / "r.jsonl", messages))
    assert [line["state"] for line in lines if "type" in line] == ["replaying", "unmapped", "error", "finished"]
    assert lines[-1]["detail"] == (
        "6 messages: 1 trades, 1 quotes; ignored kline 1; 2 of 1 unmapped symbols; 1 unreadable"
    )


def test_a_compressed_recording_with_times_in_front(tmp_path: Path) -> None:
    path = tmp_path / "r.raw.gz"
    path.write_bytes(gzip.compress(f"{START_NS} {trade(1)}\r\n\n{START_NS + 5} {trade(2)}\n".encode()))
    assert list(Recording(path)) == [
        Recorded(trade(1).encode(), START_NS), Recorded(trade(2).encode(), START_NS + 5),
    ]


def test_a_compressed_recording_with_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(b'{"a":1}\n{"a":2}\n'))
    (tmp_path / "r.recv.txt").write_text("1.5\n2\n")
    assert [entry.received_ns for entry in Recording(tmp_path / "r.jsonl.gz")] == [1_500_000_000, 2_000_000_000]


def test_too_few_receive_times_are_refused_with_the_line(tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", ["{}", "{}", "{}"], [0.0, 1.0])
    with pytest.raises(MisconfiguredError, match=r"r\.recv\.txt line 3"):
        list(Recording(path))


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 1000)[:-20])
    with pytest.raises(MisconfiguredError, match="replay"):
        list(Recording(path))


def test_a_loop_begins_again_until_it_is_stopped(tmp_path: Path, start: Callable[..., Any]) -> None:
    path = record(tmp_path / "r.jsonl", [trade(1), trade(2)])
    program = start("binance", "--replay", str(path), "--symbols", "ABC/USD", "--speed", "max", "--loop")
    assert [program.next_tick()["trade_id"] for _ in range(6)] == [1, 2, 1, 2, 1, 2]
    assert program.terminate() == 0


def test_a_loop_over_nothing_is_refused(tmp_path: Path, run: Callable[..., Any]) -> None:
    path = record(tmp_path / "r.jsonl", [trade(1)])
    result = run("binance", "--replay", str(path), "--symbols", "XYZ/USD", "--speed", "max", "--loop")
    assert result.returncode == 78
    assert "holds nothing for these symbols" in result.stderr


def test_a_paced_replay_leaves_at_once_when_told(tmp_path: Path, start: Callable[..., Any]) -> None:
    path = record(tmp_path / "r.jsonl", [trade(1), trade(2)], [0.0, 3600.0])
    program = start("binance", "--replay", str(path), "--symbols", "ABC/USD")
    assert program.next_tick()["trade_id"] == 1
    assert program.terminate() == 0
    assert program.stderr == ""


def test_production_refuses_replays(tmp_path: Path, run: Callable[..., Any]) -> None:
    path = record(tmp_path / "r.jsonl", [trade(1)])
    result = run("binance", "--replay", str(path), "--symbols", "ABC/USD", FINSTREAM_MODE="production")
    assert (result.returncode, result.stdout) == (78, "")
    assert "mode: simulation" in result.stderr
