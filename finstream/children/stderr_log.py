"""What a child writes to its standard error becomes log records, at a bounded rate.

A line that is a JSON object with ``level`` and ``message`` (or ``msg``, or ``event``) keeps its level and its other
members; any other line is logged as it is, at level info. All is read, so that a child never waits for its log; what
exceeds the rate is counted, and the count is told. Only a child that writes more than ``_READ_BYTES_PER_S`` is slowed
down, for reading it at any speed would take the control plane's time from everybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from finstream.children.ports import Logger
from finstream.token_bucket import TokenBucket

__all__ = ["LineLog", "log_lines"]

_READ_BYTES_PER_S = 1 << 20
_MAX_LINE_BYTES = 8192
_LINES_PER_S = 20.0
_BURST_LINES = 200
_LEVELS = {
    "trace": "debug", "debug": "debug", "verbose": "debug", "info": "info", "information": "info", "notice": "info",
    "warn": "warning", "warning": "warning", "err": "error", "error": "error", "critical": "error", "fatal": "error",
    "panic": "error", 10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "error",
}
"""Level words as programs write them, and the numbers of the Node loggers."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class LineLog:
    """Cuts one stream of bytes into lines and logs them. No I/O; feed it."""

    def __init__(
        self,
        log: Logger,
        *,
        stream: str = "stderr",
        lines_per_s: float = _LINES_PER_S,
        burst: float = _BURST_LINES,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._log = log
        self.stream = stream
        self._bucket = TokenBucket(lines_per_s, burst, clock)
        self._rest = b""
        self._skipping = False
        self._untold = 0
        self.suppressed = 0
        """Lines that were not logged, because there were too many at once."""
        self.last_line = ""
        """The last line that was logged and not empty: a program's last words often say why it ended."""

    def feed(self, data: bytes) -> None:
        """Take in what was read, of any length."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            if self._bucket.is_empty():  # nothing to log, so it is enough to count, which is a hundred times as fast
                last = data.rindex(b"\n")
                self._suppress(data.count(b"\n", start, last + 1) - self._skipping)
                start, self._rest, self._skipping = last + 1, b"", False
                break
            if not self._skipping:
                self._line(self._rest + data[start:end])
            start, self._rest, self._skipping = end + 1, b"", False
        if not self._skipping:
            self._rest += data[start:]
            if len(self._rest) > _MAX_LINE_BYTES:
                self._line(self._rest)
                self._rest = b""
                self._skipping = True

    def end(self) -> None:
        """The stream has ended: log the unfinished line and the count of those suppressed, if any. May be called again."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self._tell_suppressed()

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        if not self._bucket.take():
            self._suppress(1)
            return
        self._tell_suppressed()
        cut = line[:_MAX_LINE_BYTES].rstrip(b"\r")
        text = cut.decode("utf-8", "backslashreplace") + ("…" if len(line) > _MAX_LINE_BYTES else "")
        level, message, fields = _read_json(cut) or ("info", text, {})
        self.last_line = message
        more = {"fields": fields} if fields else {}
        getattr(self._log, level)("child says", stream=self.stream, text=message, **more)

    def _suppress(self, lines: int) -> None:
        self.suppressed += lines
        self._untold += lines

    def _tell_suppressed(self) -> None:
        if self._untold:
            self._log.warning("child says too much; lines were left out", stream=self.stream, lines=self._untold)
            self._untold = 0


def _read_json(line: bytes) -> tuple[str, str, dict[str, Any]] | None:
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        fields = _decode(line)
    except msgspec.DecodeError:
        return None
    level = fields.get("level")
    known = _LEVELS.get(level.lower() if isinstance(level, str) else level) if isinstance(level, (str, int)) else None
    word = next((word for word in ("message", "msg", "event") if isinstance(fields.get(word), str)), None)
    if known is None or word is None:
        return None
    message = fields.pop(word)
    del fields["level"]
    return known, message, fields


async def log_lines(stream: trio.abc.ReceiveStream, lines: LineLog) -> None:
    """Read a child's stream to its end. Does not close it."""
    reset_at, read = trio.current_time() + 1, 0
    while True:
        try:
            data = await stream.receive_some(65536)
        except trio.BrokenResourceError:
            data = b""
        if not data:
            lines.end()
            return
        lines.feed(bytes(data))
        read += len(data)
        if read > _READ_BYTES_PER_S:
            await trio.sleep_until(reset_at)
        if trio.current_time() >= reset_at:
            reset_at, read = trio.current_time() + 1, 0
