from __future__ import annotations

import datetime
import fcntl
import logging
import os
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
import structlog
import trio

from finstream.services.logs import Logs, get_logger, start_logging


class Reader:
    """The reading end of the log's pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def lines(self, logs: Logs) -> list[dict[str, Any]]:
        """Everything logged since the last call."""
        deadline = time.monotonic() + 10
        while logs.statistics().queued:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        pieces = [self._rest]
        os.set_blocking(self.fd, False)
        try:
            while piece := os.read(self.fd, 1 << 20):
                pieces.append(piece)
        except BlockingIOError:
            pass
        *lines, self._rest = b"".join(pieces).split(b"\n")
        return [msgspec.json.decode(line) for line in lines]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture
def reader(pipe: tuple[int, int]) -> Reader:
    return Reader(pipe[0])


@pytest.fixture
def logs(pipe: tuple[int, int]) -> Iterator[Logs]:
    started = start_logging("info", pipe[1])
    yield started
    started.close()


def test_a_line_is_json_with_time_level_component_and_event_first(logs: Logs, reader: Reader) -> None:
    get_logger("climan").info("client connected", client="c1", topics=2)
    (line,) = reader.lines(logs)
    assert list(line) == ["timestamp", "level", "component", "event", "client", "topics"]
    assert line["level"] == "info"
    assert line["component"] == "climan"
    assert line["event"] == "client connected"
    assert line["client"] == "c1"
    stamp = line["timestamp"]
    assert len(stamp) == len("2026-11-21T12:00:00.123456Z")
    assert stamp.endswith("Z")
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(stamp)
    assert abs(age.total_seconds()) < 60


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warning", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
    ],
)
def test_levels(logs: Logs, reader: Reader, level: Any, heard: list[str]) -> None:
    log = get_logger("engine")
    assert logs.set_level(level) == "info"
    assert logs.level == level
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(log, name)("said")
    assert [line["level"] for line in reader.lines(logs)] == heard


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(lambda: get_logger("a"), id="as made"),
        pytest.param(lambda: get_logger("a").bind(more=1), id="bound"),
        pytest.param(lambda: get_logger("a").bind(more=1).unbind("more"), id="bound and unbound"),
        pytest.param(lambda: structlog.get_logger(), id="without a component"),
    ],
)
def test_the_level_changes_for_loggers_that_were_used_before(
    logs: Logs, reader: Reader, kind: Callable[[], Any]
) -> None:
    log = kind()
    log.info("first")
    log.debug("not this")
    logs.set_level("debug")
    log.debug("now this")
    logs.set_level("error")
    log.warning("not this either")
    log.error("last")
    assert [line["event"] for line in reader.lines(logs)] == ["first", "now this", "last"]


def test_a_logger_made_before_logging_started_works_and_follows_to_the_next_start(pipe: tuple[int, int]) -> None:
    log = get_logger("early")
    reader = Reader(pipe[0])
    for word in ("one", "two"):
        logs = start_logging("info", pipe[1])
        log.info(word)
        assert logs.close()
        assert [line["event"] for line in reader.lines(logs)] == [word]


def test_an_exception_comes_with_its_traceback_in_one_line(logs: Logs, reader: Reader) -> None:
    try:
        raise ExceptionGroup("several", [ValueError("a\nb"), KeyError("c")])
    except ExceptionGroup:
        get_logger("engine").exception("it failed", asset="sim")
    (line,) = reader.lines(logs)
    assert line["level"] == "error"
    assert line["asset"] == "sim"
    assert "ValueError: a\n" in line["exception"]
    assert "KeyError: 'c'" in line["exception"]
    assert "exc_info" not in line


class _NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("half a surrogate \udc80", id="surrogate"),
        pytest.param(2**80, id="large integer"),
        pytest.param(_endless(), id="endless"),
        pytest.param(_NoRepr(), id="failing repr"),
        pytest.param(trio.Event(), id="object"),
        pytest.param({1, 2}, id="set"),
        pytest.param(b"\xff\0", id="bytes"),
        pytest.param(float("nan"), id="nan"),
        pytest.param("line\nfeed\0", id="control characters"),
    ],
)
def test_no_value_can_break_a_line_or_the_caller(logs: Logs, reader: Reader, value: Any) -> None:
    get_logger("engine").info("odd", value=value, sane=1)
    (line,) = reader.lines(logs)
    assert line["event"] == "odd"
    assert "value" in line
    assert line["sane"] in (1, "1")


def test_fields_do_not_overwrite_the_lines_own_members(logs: Logs, reader: Reader) -> None:
    get_logger("engine").info("odd", level="mine", timestamp="mine too")
    (line,) = reader.lines(logs)
    assert line["level"] == "info"
    assert line["timestamp"].startswith("20")
    assert (line["level_field"], line["timestamp_field"]) == ("mine", "mine too")


def test_libraries_that_log_through_the_standard_library_are_heard(logs: Logs, reader: Reader) -> None:
    library = logging.getLogger("hypercorn.error")
    library.warning("slow %s", "disk")
    library.debug("noise")
    try:
        raise OSError("broken")
    except OSError:
        library.exception("failed")
    first, second = reader.lines(logs)
    assert (first["level"], first["component"], first["event"]) == ("warning", "hypercorn.error", "slow disk")
    assert second["level"] == "error"
    assert "OSError: broken" in second["exception"]


def test_what_a_library_says_at_each_of_its_attempts_is_a_line_a_minute(logs: Logs, reader: Reader) -> None:
    for _ in range(20):
        logging.getLogger("trio.serve_listeners").error("accept returned EMFILE")
        logging.getLogger("trio.other").error("another matter")
    assert [line["component"] for line in reader.lines(logs)] == ["trio.serve_listeners"] + ["trio.other"] * 20


def test_libraries_stay_quiet_at_debug_level(logs: Logs, reader: Reader) -> None:
    logs.set_level("debug")
    logging.getLogger("trio-websocket").debug("every single frame")
    logging.getLogger("watchfiles.main").info("1 change detected")
    logging.getLogger("trio-websocket").info("worth it")
    assert [line["event"] for line in reader.lines(logs)] == ["worth it"]


def test_a_library_with_a_broken_format_string_is_heard_all_the_same(
    logs: Logs, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without pytest's own handlers, which raise.
    ours = [handler for handler in logging.getLogger().handlers if type(handler).__module__.startswith("finstream")]
    monkeypatch.setattr(logging.getLogger(), "handlers", ours)
    logging.getLogger("library").warning("%d items", "no number")
    (line,) = reader.lines(logs)
    assert line["event"] == "%d items ('no number',)"


def test_warnings_of_python_become_lines(logs: Logs, reader: Reader) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # again, because catch_warnings put the old hook in its place
        warnings.warn("old hat", DeprecationWarning, stacklevel=1)
    (line,) = reader.lines(logs)
    assert "old hat" in line["event"]
    assert line["component"] == "py.warnings"


def test_closing_gives_everything_back(pipe: tuple[int, int]) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), structlog.get_config()["processors"])
    logs = start_logging("debug", pipe[1])
    assert root.level != before[0]
    logs.close()
    assert (root.level, list(root.handlers), structlog.get_config()["processors"]) == before


def test_the_statistics_account_for_every_line(logs: Logs, reader: Reader) -> None:
    log = get_logger("engine")
    for number in range(50):
        log.info("line", number=number)
        log.debug("suppressed")
    assert [line["number"] for line in reader.lines(logs)] == list(range(50))
    state = logs.statistics()
    assert (state.emitted, state.written, state.dropped, state.queued) == (50, 50, 0, 0)


async def test_a_full_log_pipe_holds_up_nobody_and_says_so_once_it_moves_again(
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    reading, writing = os.pipe()
    page = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"-" * (page - 1) + b"\n")  # full from the start
    logs = start_logging("info", writing)
    try:
        log = get_logger("engine")
        turns, longest = 0, 0.0
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def control_plane() -> None:
                nonlocal turns, longest
                while True:
                    began = time.perf_counter()
                    await trio.sleep(0.001)
                    longest = max(longest, time.perf_counter() - began)
                    turns += 1

            blob = "x" * 1000
            while logs.statistics().dropped < 1000:
                for _ in range(100):
                    log.info("burst", blob=blob)
                await trio.lowlevel.checkpoint()
            await eventually(lambda: turns >= 20)
            nursery.cancel_scope.cancel()
        assert longest < 1.0, "seconds that the control plane stood still"
        dropped = logs.statistics().dropped
        assert logs.statistics().queued > 0

        reports: list[dict[str, Any]] = []
        rest = b""
        with trio.fail_after(10):
            while not reports:
                rest += await trio.to_thread.run_sync(os.read, reading, 1 << 20)
                *lines, rest = rest.split(b"\n")
                found = [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]
                reports = [line for line in found if "dropped" in line["event"]]
        (report,) = reports
        assert report["level"] == "warning"
        assert report["component"] == "logger"
        assert report["dropped"] == dropped
    finally:
        os.close(reading)
        logs.close()
        os.close(writing)
