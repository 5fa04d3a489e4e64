"""Logs: one JSON object a line, on stderr, from every part of the engine and from the libraries it uses.

A log call makes its line on the spot and hands it to a :class:`LineWriter`; it never waits for whoever reads the log.
The level can change while the engine runs: loggers are made to let everything through, and the first processor drops
what is below the threshold, so the change reaches loggers that have long been in use.

Usual names of ``component``: those of the original design, see the glossary in the README.
"""

from __future__ import annotations

import datetime
import logging
import math
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import msgspec
import structlog
from structlog.typing import EventDict

from finstream.services.line_writer import LineWriter, WriterStatistics, to_descriptor
from finstream.services.log_taps import LogTap
from finstream.services.ports import Logger
from finstream.vocabulary.settings import LogLevel

__all__ = ["Logger", "Logs", "get_logger", "start_logging"]

_SEVERITY = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_CLOSE_WITHIN_S = 1.0
_LIBRARIES_SAY_NO_LESS_THAN = {"watchfiles": logging.WARNING}
"""Libraries whose informational messages only repeat what our own say better."""
_LIBRARIES_REPEAT_AFTER_S = {"trio.serve_listeners": 60.0}
"""Loggers that say the same ten times a second for as long as it lasts: no file descriptor is left to accept a connection."""

_encoder = msgspec.json.Encoder(enc_hook=repr)
_exception = structlog.processors.ExceptionRenderer()


def get_logger(component: str) -> Logger:
    """A logger whose lines carry ``component``. It may be made before :func:`start_logging`, but not used."""
    return cast(Logger, structlog.get_logger(component=component))


def start_logging(level: LogLevel = "info", fd: int = 2) -> Logs:
    """Send the logs of the whole process to ``fd`` from now on, until the answer's ``close`` is called.

    For that time the process's structlog configuration and the standard library's root logger belong to the logs.
    """
    return Logs(level, fd)


class Logs:
    """Made by :func:`start_logging`."""

    def __init__(self, level: LogLevel, fd: int) -> None:
        self._writer = LineWriter(to_descriptor(fd), report=_drop_report, name="log writer")
        self._bridge = _StandardLibraryBridge(self)
        self._root_level = logging.getLogger().level
        self.level: LogLevel = level
        self.set_level(level)
        self._taps: tuple[LogTap, ...] = ()
        handed_over = _HandOver(self._write)
        structlog.configure(
            # Not cached: nothing logs per tick, and so a logger follows when logging starts, ends or starts again.
            cache_logger_on_first_use=False,
            wrapper_class=structlog.make_filtering_bound_logger("debug"),
            logger_factory=lambda *_name: handed_over,
            processors=[self._filter, structlog.contextvars.merge_contextvars, _render],
        )
        logging.getLogger().addHandler(self._bridge)
        logging.captureWarnings(True)

    def set_level(self, level: LogLevel) -> LogLevel:
        """Let through lines of this level and above, at once and for every logger. Returns the level before."""
        previous, self.level = self.level, level
        self._threshold = _SEVERITY[level]
        # Libraries are never heard below info: at debug level some log each message they carry.
        logging.getLogger().setLevel(max(self._threshold, logging.INFO))
        return previous

    @contextmanager
    def tap(self, level: LogLevel) -> Iterator[LogTap]:
        """See the lines of this level and above that are logged while the context is open."""
        tap = LogTap(_SEVERITY[level])
        self._taps += (tap,)
        try:
            yield tap
        finally:
            self._taps = tuple(each for each in self._taps if each is not tap)

    def _write(self, severity: int, line: bytes) -> None:
        self._writer.write(line)
        for tap in self._taps:
            tap.put(severity, line)

    def statistics(self) -> WriterStatistics:
        return self._writer.statistics()

    def close(self) -> bool:
        """Write what waits, for at most a second, and give the configuration back. Blocks. Says whether it could."""
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(self._bridge)
        logging.getLogger().setLevel(self._root_level)
        structlog.reset_defaults()
        return self._writer.close(_CLOSE_WITHIN_S)

    def _filter(self, _logger: Any, method: str, event_dict: EventDict) -> EventDict:
        if _SEVERITY.get(method, 0) < self._threshold:
            raise structlog.DropEvent
        return event_dict

    def write_record(self, record: logging.LogRecord) -> None:
        """Write what a library logged through the standard library."""
        try:
            message = record.getMessage()
        except Exception:  # a library's broken format string must not raise where it logs
            message = f"{record.msg} {_safe_text(record.args)}"
        fields: EventDict = {"component": record.name, "event": message}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._write(record.levelno, _line(record.levelname.lower(), fields))


class _HandOver:
    """What structlog calls with a finished line, by the name of the level."""

    def __init__(self, write: Callable[[int, bytes], None]) -> None:
        for level, severity in _SEVERITY.items():
            setattr(self, level, partial(write, severity))


class _StandardLibraryBridge(logging.Handler):
    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs
        self._said_at: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < _LIBRARIES_SAY_NO_LESS_THAN.get(record.name.partition(".")[0], 0):
            return
        if (pause_s := _LIBRARIES_REPEAT_AFTER_S.get(record.name)) is not None:
            now = time.monotonic()
            if now - self._said_at.get(record.name, -math.inf) < pause_s:
                return
            self._said_at[record.name] = now
        self._logs.write_record(record)


def _render(_logger: Any, method: str, event_dict: EventDict) -> tuple[tuple[bytes], dict[str, Any]]:
    return (_line(method, event_dict),), {}


def _line(level: str, fields: MutableMapping[str, Any]) -> bytes:
    if fields.get("exc_info"):
        fields = _exception(None, level, fields)
    else:
        fields.pop("exc_info", None)
    line = {
        "timestamp": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        "level": level,
        "component": fields.pop("component", "engine"),
        "event": fields.pop("event", ""),
        **{_FIELDS_OF_OURS.get(name, name): value for name, value in fields.items()},
    }
    try:
        return _encoder.encode(line) + b"\n"
    except Exception:  # half a surrogate, an endless structure, a failing repr: a log call must not raise
        return _encoder.encode({name: _safe_text(value) for name, value in line.items()}) + b"\n"


_FIELDS_OF_OURS = {"timestamp": "timestamp_field", "level": "level_field"}
"""A field that bears the name of one of the line's own members moves aside."""


def _safe_text(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:  # whatever a foreign __repr__ raises
        text = f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def _drop_report(count: int) -> bytes:
    fields = {"component": "logger", "event": "log lines were dropped: the log could not be written", "dropped": count}
    return _line("warning", fields)
