"""One message in, its lines on the way out: what the live connection and the replay have in common."""

from __future__ import annotations

from typing import Final

import msgspec

from .lines import LineWriter
from .mapper import Mapper
from .outputs import Heartbeat, Output, Reconnect, Tick

__all__ = ["Pipeline"]

_HEARTBEAT_NS: Final = 1_000_000_000
_SAMPLE_BYTES: Final = 160


class Pipeline:
    """Maps messages, counts what becomes of them, and puts the lines into the writer's buffer."""

    def __init__(self, mapper: Mapper, writer: LineWriter) -> None:
        self._mapper = mapper
        self._writer = writer
        self._encoder = msgspec.json.Encoder()
        self._last_heartbeat_ns = 0
        self.tally = mapper.tally

    def start_connection(self) -> None:
        self._mapper.start_connection()

    def take(self, message: bytes, received_ns: int) -> Reconnect | None:
        """Take in one message. Returns the mapper's order to reconnect, if there is one.

        Raises:
            OutputClosedError: Nobody reads our lines any more.
        """
        tally = self.tally
        tally.messages += 1
        try:
            outputs = self._mapper.map(message, received_ns)
        except (msgspec.MsgspecError, ValueError) as error:
            self._report_unreadable(message, error)
            return None
        if not outputs:
            return None
        order: Reconnect | None = None
        lines: list[Output] = []
        for output in outputs:
            if isinstance(output, Tick):
                if output.price is None:
                    tally.quotes += 1
                else:
                    tally.trades += 1
            elif isinstance(output, Heartbeat):
                if received_ns - self._last_heartbeat_ns < _HEARTBEAT_NS:
                    continue
                self._last_heartbeat_ns = received_ns
            elif isinstance(output, Reconnect):
                order = output
                continue
            lines.append(output)
        if lines:
            self._writer.write(self._encoder.encode_lines(lines))
        return order

    def _report_unreadable(self, message: bytes, error: Exception) -> None:
        self.tally.unreadable += 1
        if self.tally.unreadable == 1:  # the first tells what is wrong; the number of them is in the summary
            sample = message[:_SAMPLE_BYTES].decode("utf-8", "replace")
            self._writer.status("error", f"unreadable message ({error}): {sample}")
