"""The last words of a program on its standard error."""

from __future__ import annotations

from collections import deque

import trio

from finstream.cli.check_observation import Stderr

__all__ = ["StderrTail"]

_LINES = 10
_LONGEST_LINE_BYTES = 300
_LONGEST_REST_BYTES = 65536


class StderrTail:
    """Reads everything, so that the program never waits; keeps the last lines, cut to a readable length."""

    def __init__(self) -> None:
        self._tail: deque[str] = deque(maxlen=_LINES)
        self._lines = 0

    async def read(self, stream: trio.abc.ReceiveStream) -> None:
        """Read to the end of the stream."""
        rest = b""
        while chunk := await stream.receive_some():
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:_LONGEST_REST_BYTES]
            self._take(lines)
        self._take([rest] if rest else [])

    def _take(self, lines: list[bytes]) -> None:
        self._lines += len(lines)
        for line in lines[-_LINES:]:
            self._tail.append(line[:_LONGEST_LINE_BYTES].decode(errors="replace").rstrip())

    def observed(self) -> Stderr:
        return Stderr(lines=self._lines, tail=list(self._tail))
