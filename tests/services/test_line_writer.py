"""The writer against real pipes and devices: blocked, closed, full, non-blocking."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from finstream.services.line_writer import LineWriter, WriterStatistics, to_descriptor

PIPE_BYTES = 4096
LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds one page."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reading, writing
    for fd in (reading, writing):
        with suppress(OSError):
            os.close(fd)


@pytest.fixture
def writers() -> Iterator[Callable[..., LineWriter]]:
    """Makes writers, which are ended with the test."""
    made: list[LineWriter] = []

    def make(fd: int, **settings: int) -> LineWriter:
        made.append(LineWriter(to_descriptor(fd), report=lambda count: b"dropped %d\n" % count, **settings))
        return made[-1]

    yield make
    for writer in made:
        writer.close(0)


def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def is_full(fd: int) -> bool:
    return int.from_bytes(fcntl.ioctl(fd, 0x541B, b"\0\0\0\0"), "little") == PIPE_BYTES  # FIONREAD


def read_into(received: bytearray, fd: int) -> None:
    while piece := os.read(fd, 65_536):
        received += piece


def read_all(fd: int) -> bytes:
    received = bytearray()
    read_into(received, fd)
    return bytes(received)


def test_lines_arrive_in_order(pipe: tuple[int, int], writers: Callable[..., LineWriter]) -> None:
    writer = writers(pipe[1])
    for number in range(100):
        writer.write(b"%d\n" % number)
    assert writer.close(5)
    os.close(pipe[1])
    assert read_all(pipe[0]) == b"".join(b"%d\n" % number for number in range(100))
    assert writer.statistics() == WriterStatistics(emitted=100, written=100, dropped=0, queued=0)


def test_a_blocked_pipe_blocks_nobody_and_the_hole_is_reported_where_it_is(
    pipe: tuple[int, int], writers: Callable[..., LineWriter]
) -> None:
    reading, writing = pipe
    os.write(writing, b"-" * (PIPE_BYTES - 1) + b"\n")
    writer = writers(writing, max_queued_bytes=1000)
    slowest = 0.0
    for number in range(2000):
        began = time.perf_counter()
        writer.write(b"line %d\n" % number)
        slowest = max(slowest, time.perf_counter() - began)
    state = writer.statistics()
    assert state.dropped > 1000
    assert state.emitted == state.written + state.dropped + state.queued
    assert slowest < 0.5, "seconds for handing over one line"

    received = bytearray()
    drain = threading.Thread(target=read_into, args=(received, reading))
    drain.start()
    until(lambda: writer.statistics().queued == 0 and b"dropped" in received)
    writer.write(b"after\n")
    assert writer.close(5)
    os.close(writing)
    drain.join(5)
    lines = bytes(received).decode().splitlines()
    kept = [int(line.removeprefix("line ")) for line in lines if line.startswith("line ")]
    reports = [index for index, line in enumerate(lines) if line.startswith("dropped ")]
    assert kept == list(range(len(kept))), "the oldest are kept, the newest dropped"
    assert lines[-1] == "after"
    assert len(reports) == 1
    assert lines[reports[0]] == f"dropped {state.dropped}"
    assert lines[reports[0] - 1] == f"line {kept[-1]}"
    final = writer.statistics()
    assert final == WriterStatistics(final.emitted, final.emitted - state.dropped, state.dropped, 0)


def test_the_report_comes_although_nothing_is_logged_afterwards(
    pipe: tuple[int, int], writers: Callable[..., LineWriter]
) -> None:
    reading, writing = pipe
    writer = writers(writing, max_queued_bytes=PIPE_BYTES + 200)
    writer.write(b"y" * (PIPE_BYTES + 99) + b"\n")
    until(lambda: is_full(reading))
    writer.write(LINE)
    writer.write(LINE)
    assert writer.statistics().dropped == 1
    received = bytearray()
    while not received.endswith(b"dropped 1\n"):
        received += os.read(reading, 65_536)
    assert bytes(received) == b"y" * (PIPE_BYTES + 99) + b"\n" + LINE + b"dropped 1\n"


def test_closing_with_a_blocked_pipe_takes_no_longer_than_it_may(
    pipe: tuple[int, int], writers: Callable[..., LineWriter]
) -> None:
    writer = writers(pipe[1])
    writer.write(b"y" * (2 * PIPE_BYTES) + b"\n")
    until(lambda: is_full(pipe[0]))
    began = time.monotonic()
    assert not writer.close(0.05)
    assert time.monotonic() - began < 2
    writer.write(LINE)
    assert writer.statistics() == WriterStatistics(emitted=2, written=0, dropped=1, queued=1)


def test_a_descriptor_that_refuses_costs_lines_not_the_writer(writers: Callable[..., LineWriter]) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = writers(fd)
        writer.write(LINE)
        until(lambda: writer.statistics().dropped == 1)
        # Now the same descriptor leads to a place that takes lines: the hole is reported, and writing goes on.
        reading, writing = os.pipe()
        os.dup2(writing, fd)
        os.close(writing)
        writer.write(b"after\n")
        assert writer.close(5)
    finally:
        os.close(fd)
    received = read_all(reading).decode().splitlines()
    os.close(reading)
    assert sorted(received) == ["after", "dropped 1"]


def test_a_reader_that_left_costs_lines_not_the_process(
    pipe: tuple[int, int], writers: Callable[..., LineWriter]
) -> None:
    os.close(pipe[0])
    writer = writers(pipe[1])
    for _ in range(3):
        writer.write(LINE)
    until(lambda: writer.statistics().dropped == 3)
    assert writer.close(5)


def test_a_non_blocking_descriptor_loses_nothing(pipe: tuple[int, int], writers: Callable[..., LineWriter]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    writer = writers(writing)
    for number in range(500):
        writer.write(b"%0100d\n" % number)
    received = bytearray()
    drain = threading.Thread(target=read_into, args=(received, reading))
    drain.start()
    assert writer.close(10)
    os.close(writing)
    drain.join(5)
    assert [int(line) for line in received.splitlines()] == list(range(500))
    assert writer.statistics().dropped == 0


def test_one_line_larger_than_the_bound_is_dropped(pipe: tuple[int, int], writers: Callable[..., LineWriter]) -> None:
    writer = writers(pipe[1], max_queued_bytes=50)
    writer.write(LINE)
    writer.write(b"small\n")
    assert writer.close(5)
    os.close(pipe[1])
    assert sorted(read_all(pipe[0]).splitlines()) == [b"dropped 1", b"small"]
