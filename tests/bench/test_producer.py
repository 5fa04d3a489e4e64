"""The producer against a plain pipe."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench.processes import TrialFailed
from bench.producer import FIRST_INDEX, Producer
from bench.toolchain import Tools


class Line(msgspec.Struct, forbid_unknown_fields=True):
    symbol: str
    price: str
    volume: str
    ts: int
    bid: str
    ask: str
    trade_id: str


class Reader:
    """Reads all that comes from a pipe, in a thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._data = bytearray()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while chunk := os.read(self._fd, 65536):
            self._data += chunk

    def lines(self) -> list[Line]:
        """All of them, once the writer has ended."""
        self._thread.join(10)
        assert not self._thread.is_alive()
        *lines, rest = bytes(self._data).split(b"\n")
        assert rest == b""
        return [msgspec.json.decode(line, type=Line) for line in lines]


@pytest.fixture
def process(tools: Tools, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([tools.producer, "--control", tmp_path / "control"], stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_keeps_to_its_schedule_and_counts_on(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert process.stdout is not None
    reader = Reader(process.stdout.fileno())
    with Producer(tmp_path / "control") as producer:
        assert producer.pid == process.pid
        start = time.time_ns() + 10_000_000
        first = producer.run(500.0, 0.1, start)
        second = producer.run(100.0, 0.05, time.time_ns())
    assert process.wait(5) == 0  # it leaves when its controller hangs up
    lines = reader.lines()

    assert (first.first, first.sent, first.target, first.error) == (FIRST_INDEX, 50, 50, 0)
    assert (second.first, second.sent) == (FIRST_INDEX + 50, 5)
    assert first.late.count == 50
    assert first.late.negative == 0
    assert [int(line.trade_id) for line in lines] == [FIRST_INDEX + i for i in range(55)]
    for i, line in enumerate(lines[:50]):
        assert line.ts >= start + i * 2_000_000  # never before it is due
    assert first.elapsed_ns >= 49 * 2_000_000


def test_high_rates_come_in_bursts_but_never_early(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert process.stdout is not None
    reader = Reader(process.stdout.fileno())
    with Producer(tmp_path / "control") as producer:
        start = time.time_ns() + 10_000_000
        production = producer.run(100_000.0, 0.02, start)
    process.wait(5)
    lines = reader.lines()
    assert production.sent == len(lines) == 2000
    for i, line in enumerate(lines):
        assert line.ts >= start + i // 20 * 200_000


def test_without_a_rate_it_goes_as_fast_as_it_is_read(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert process.stdout is not None
    reader = Reader(process.stdout.fileno())
    with Producer(tmp_path / "control") as producer:
        production = producer.run(0.0, 0.1, time.time_ns())
    process.wait(5)
    assert production.sent == production.target == len(reader.lines()) > 0
    assert production.late.count == 0


def test_gives_up_when_nobody_reads(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with Producer(tmp_path / "control") as producer:
        production = producer.run(100_000.0, 0.1, time.time_ns())
    assert production.error == errno.ETIMEDOUT
    assert production.sent < production.target


def test_leaves_when_its_reader_is_gone(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert process.stdout is not None
    with Producer(tmp_path / "control") as producer:
        process.stdout.close()
        assert process.wait(5) == 0
        with pytest.raises(TrialFailed, match="the producer has gone away"):
            producer.run(100.0, 0.1, time.time_ns())


def test_a_producer_that_nobody_starts_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrialFailed, match="was not started within"):
        Producer(tmp_path / "control", timeout_s=0.05)
