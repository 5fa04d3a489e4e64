"""Rejected lines, from a real pump into real files."""

# ruff: noqa: ASYNC240 - the files are small, local and the point of it all

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.pump import LineRejected, Pump
from finstream.services.bus import Bus
from finstream.services.dead_letters import DeadLetters
from finstream.vocabulary.events import Event, LinesRejected
from finstream.vocabulary.settings import DeadLetterSettings

WHEN_NS = 1_700_000_000_123_456_789
Make = Callable[..., DeadLetters]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "dead.jsonl"


@pytest.fixture
def make(pump: Pump, bus: Bus, logger: Any, path: Path) -> Make:
    def make(**settings: Any) -> DeadLetters:
        return DeadLetters(DeadLetterSettings(**({"path": str(path)} | settings)), pump=pump, bus=bus, logger=logger)

    return make


@pytest.fixture
def feed(pump: Pump) -> Iterator[Callable[[bytes], None]]:
    """The pipe of an asset called ``sim``."""
    reading, writing = os.pipe()
    source = pump.add_source(pump.add_asset("sim"), reading, lambda _event: None)

    def write(data: bytes) -> None:
        os.write(writing, data)

    yield write
    pump.remove_source(source)
    os.close(reading)
    os.close(writing)


def letters(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def fill(fd: int) -> None:
    with suppress(BlockingIOError):
        while True:
            os.write(fd, b"x" * 4096)


def drain(fd: int) -> None:
    with suppress(BlockingIOError):
        while True:
            os.read(fd, 1 << 20)


def rejected(asset: int, line: bytes = b"garbage", reason: str = "not_json") -> LineRejected:
    return LineRejected(asset, reason, line, len(line), WHEN_NS)


async def test_bad_lines_of_an_ingestor_are_kept_told_and_logged(
    pump: Pump,
    make: Make,
    path: Path,
    feed: Callable[[bytes], None],
    nursery: trio.Nursery,
    events: Callable[[], list[Event]],
    eventually: Any,
    log_entries: list[dict[str, Any]],
) -> None:
    dead_letters = make()
    pump.on_line(dead_letters.take)
    await nursery.start(dead_letters.run)
    before_us = time.time_ns() // 1000
    feed(b'garbage\n{"symbol":"A","price":"1","ts":1700000000}\n{"symbol":"\xff"}\n{"price":"1","ts":1}\n')
    await eventually(lambda: len(letters(path)) == 3)
    garbage, not_utf8, no_symbol = letters(path)
    assert before_us <= garbage.pop("at") <= time.time_ns() // 1000
    assert garbage == {"asset": "sim", "reason": "not_json", "line": "garbage", "line_bytes": 7}
    assert not_utf8["reason"] == "invalid_utf8"
    assert base64.b64decode(not_utf8["line_base64"]) == b'{"symbol":"\xff"}'
    assert "line" not in not_utf8
    assert no_symbol["reason"] == "missing_symbol"

    (told,) = await eventually(events)
    assert isinstance(told, LinesRejected)
    assert (told.asset, told.sample_reason, told.sample) == ("sim", "not_json", "garbage")
    assert told.counts == {"not_json": 1, "invalid_utf8": 1, "missing_symbol": 1}
    (entry,) = log_entries
    assert (entry["event"], entry["log_level"], entry["asset"]) == ("lines rejected", "warning", "sim")
    assert entry["counts"] == told.counts
    state = dead_letters.statistics()
    assert (state.taken, state.written, state.lost, state.queued) == (3, 3, 0, 0)


async def test_a_flood_is_told_of_once_a_second_with_everything_counted(
    pump: Pump,
    make: Make,
    feed: Callable[[bytes], None],
    nursery: trio.Nursery,
    events: Callable[[], list[Event]],
    eventually: Any,
) -> None:
    dead_letters = make()
    pump.on_line(dead_letters.take)
    await nursery.start(dead_letters.run)
    began = trio.current_time()
    written = 0
    told: list[Any] = []
    while trio.current_time() - began < 1.5:
        feed(b"garbage\n" * 100)
        written += 100
        await trio.sleep(0.005)
        told += events()
    taken_s = trio.current_time() - began
    await eventually(lambda: told.extend(events()) or sum(event.counts["not_json"] for event in told) == written)
    assert 2 <= len(told) <= taken_s + 2


async def test_the_counts_are_the_pumps_own(
    pump: Pump, make: Make, feed: Callable[[bytes], None], nursery: trio.Nursery, events: Any, eventually: Any
) -> None:
    """It may have rejected more lines than it had room to tell of."""
    feed(b"garbage\n" * 50)  # nobody listens
    asset = pump.asset_handle("sim")
    assert asset is not None
    await eventually(lambda: pump.asset_statistics(asset).rejected.get("not_json") == 50)
    dead_letters = make()
    await nursery.start(dead_letters.run)
    dead_letters.take(rejected(asset))
    (told,) = await eventually(events)
    assert told.counts == {"not_json": 50}


async def test_files_are_rotated_by_size_and_bounded_in_number(
    pump: Pump, make: Make, path: Path, nursery: trio.Nursery, eventually: Any
) -> None:
    asset = pump.add_asset("sim")
    dead_letters = make(max_bytes=2000, files=3)
    await nursery.start(dead_letters.run)
    for number in range(200):
        dead_letters.take(rejected(asset, b"line %d" % number))
    await eventually(lambda: dead_letters.statistics().written == 200)
    names = ["dead.jsonl", "dead.jsonl.1", "dead.jsonl.2"]
    assert sorted(file.name for file in path.parent.iterdir()) == names
    assert all(0 < (path.parent / name).stat().st_size <= 2000 for name in names)
    kept = [letter["line"] for name in reversed(names) for letter in letters(path.parent / name)]
    assert kept == [f"line {number}" for number in range(200 - len(kept), 200)], "the newest, in order, none cut"
    assert len(kept) > 30


async def test_one_file_means_that_the_older_half_goes(
    pump: Pump, make: Make, path: Path, nursery: trio.Nursery, eventually: Any
) -> None:
    asset = pump.add_asset("sim")
    dead_letters = make(max_bytes=2000, files=1)
    await nursery.start(dead_letters.run)
    for number in range(200):
        dead_letters.take(rejected(asset, b"line %d" % number))
    await eventually(lambda: dead_letters.statistics().written == 200)
    assert [file.name for file in path.parent.iterdir()] == ["dead.jsonl"]
    assert path.stat().st_size <= 2000
    assert letters(path)[-1]["line"] == "line 199"


async def test_a_line_larger_than_a_file_is_kept_alone(
    pump: Pump, make: Make, path: Path, nursery: trio.Nursery, eventually: Any
) -> None:
    asset = pump.add_asset("sim")
    dead_letters = make(max_bytes=1024, files=2)
    await nursery.start(dead_letters.run)
    for line in (b"small", b"x" * 5000, b"small again"):
        dead_letters.take(rejected(asset, line))
    await eventually(lambda: dead_letters.statistics().written == 3)
    assert [letter["line_bytes"] for letter in letters(path)] == [11]
    assert [letter["line_bytes"] for letter in letters(path.with_name("dead.jsonl.1"))] == [5000]


async def test_what_was_there_is_kept_and_half_a_line_is_closed(
    pump: Pump, make: Make, path: Path, nursery: trio.Nursery, eventually: Any
) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"line":"whole"}\n{"line":"the engine di')
    asset = pump.add_asset("sim")
    dead_letters = make()
    await nursery.start(dead_letters.run)
    dead_letters.take(rejected(asset))
    await eventually(lambda: dead_letters.statistics().written == 1)
    _whole, half, third = path.read_bytes().splitlines()
    assert half == b'{"line":"the engine di'
    assert msgspec.json.decode(third)["line"] == "garbage"


async def test_a_file_that_is_moved_away_is_begun_anew(
    pump: Pump, make: Make, path: Path, nursery: trio.Nursery, eventually: Any
) -> None:
    asset = pump.add_asset("sim")
    dead_letters = make()
    await nursery.start(dead_letters.run)
    for number in range(2):
        dead_letters.take(rejected(asset, b"%d" % number))
        await eventually(lambda: dead_letters.statistics().queued == 0)
        path.rename(path.with_name(f"moved {number}"))
    assert [letters(path.with_name(f"moved {number}"))[0]["line"] for number in range(2)] == ["0", "1"]


@pytest.mark.parametrize("place", ["/dev/full", "below a file"])
async def test_a_disk_that_takes_nothing_is_counted_and_complained_of_once_a_minute(
    pump: Pump,
    make: Make,
    tmp_path: Path,
    place: str,
    nursery: trio.Nursery,
    events: Any,
    eventually: Any,
    log_entries: list[dict[str, Any]],
) -> None:
    (tmp_path / "file").write_text("")
    asset = pump.add_asset("sim")
    dead_letters = make(path=place if place.startswith("/") else str(tmp_path / "file" / "dead.jsonl"))
    await nursery.start(dead_letters.run)
    for count in (1, 2, 3):
        dead_letters.take(rejected(asset))
        await eventually(lambda count=count: dead_letters.statistics().lost == count)
        await trio.sleep(0.3)
    complaints = [entry for entry in log_entries if "could not be kept" in entry["event"]]
    assert len(complaints) == 1
    assert complaints[0]["lost"] == 1
    assert complaints[0]["error"] == dead_letters.statistics().last_error
    assert complaints[0]["error"].startswith("[Errno")
    assert Path("/dev/full").is_char_device(), "and nobody rotated it"


async def test_a_disk_that_fills_up_leaves_no_half_line(
    pump: Pump, make: Make, path: Path, nursery: trio.Nursery, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second write of a piece fails: what the first one wrote is taken back."""
    asset = pump.add_asset("sim")
    dead_letters = make()
    await nursery.start(dead_letters.run)
    dead_letters.take(rejected(asset, b"kept"))
    await eventually(lambda: dead_letters.statistics().written == 1)
    really_write = os.write
    calls = 0

    def write(fd: int, data: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        return really_write(fd, bytes(data)[:10])

    with monkeypatch.context() as patched:
        patched.setattr("finstream.services.dead_letter_file.os.write", write)
        dead_letters.take(rejected(asset, b"lost"))
        await eventually(lambda: dead_letters.statistics().lost == 1)
    assert [letter["line"] for letter in letters(path)] == ["kept"]
    dead_letters.take(rejected(asset, b"kept too"))
    await eventually(lambda: dead_letters.statistics().written == 2)
    assert [letter["line"] for letter in letters(path)] == ["kept", "kept too"]


async def test_a_disk_that_hangs_holds_up_neither_the_pump_nor_the_end(
    pump: Pump, make: Make, tmp_path: Path, events: Any, eventually: Any, log_entries: list[dict[str, Any]]
) -> None:
    """A FIFO that nobody reads, full from the start, is such a disk."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        fill(held)
        asset = pump.add_asset("sim")
        dead_letters = make(path=str(fifo))
        line = b"x" * 60_000
        async with trio.open_nursery() as nursery:
            await nursery.start(dead_letters.run)
            began = time.monotonic()
            for _ in range(200):
                dead_letters.take(rejected(asset, line))
            assert time.monotonic() - began < 1, "seconds for taking lines"
            state = dead_letters.statistics()
            assert state.lost > 100
            assert state.taken == state.written + state.lost + state.queued
            began = time.monotonic()
            nursery.cancel_scope.cancel()
        assert time.monotonic() - began < 3
        assert any("could not be kept" in entry["event"] for entry in log_entries)
    finally:
        await eventually(lambda: drain(held) or not any(t.name == "dead letters" for t in threading.enumerate()))
        os.close(held)


async def test_what_waits_at_the_end_is_written_and_told(
    pump: Pump, make: Make, path: Path, feed: Callable[[bytes], None], events: Any, eventually: Any
) -> None:
    dead_letters = make()
    asset = pump.asset_handle("sim")
    assert asset is not None
    feed(b"garbage\n" * 20)
    await eventually(lambda: pump.asset_statistics(asset).rejected.get("not_json") == 20)
    async with trio.open_nursery() as nursery:
        await nursery.start(dead_letters.run)
        for _ in range(20):
            dead_letters.take(rejected(asset))
        nursery.cancel_scope.cancel()
    assert len(letters(path)) == 20
    (told,) = events()
    assert told.counts == {"not_json": 20}
