"""One message in, its lines on the way out: what the live connection and the replay have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from .ledger import Ledger
from .lines import LineWriter
from .mapper import UNREADABLE, Mapper
from .outputs import Heartbeat, Output, Patience, Reconnect, Tick

__all__ = ["Pipeline"]

_HEARTBEAT_NS: Final = 1_000_000_000
_SAMPLE_BYTES: Final = 160


class Pipeline:
    """Maps the messages of one connection, counts what becomes of them, and puts the lines into the writer's buffer."""

    def __init__(self, mapper: Mapper, writer: LineWriter, ledger: Ledger) -> None:
        self._mapper = mapper
        self._writer = writer
        self._ledger = ledger
        self._quotes = ledger.quotes
        self._behind: set[str] = set()
        """Symbols, by the venue's name, of which this connection, after it took over, has not told a quote yet."""
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._last_heartbeat_ns = 0
        self.patience_s: float | None = None
        """How long the venue wants no other connection when one ends; None: it has said nothing of it here."""
        self.tally = ledger.tally

    def take(self, message: bytes, received_ns: int) -> Reconnect | None:
        """Take in one message. Returns the mapper's order to reconnect, if there is one.

        Raises:
            OutputClosedError: Nobody reads our lines any more.
        """
        outputs = self._map(message, received_ns)
        if not outputs:
            return None
        tally = self.tally
        order: Reconnect | None = None
        lines: list[Output] = []
        for output in outputs:
            if isinstance(output, Tick):
                if output.price is None:
                    if self._behind and self._is_behind(output):
                        continue
                    tally.quotes += 1
                    self._quotes[output.raw_symbol] = output
                else:
                    tally.trades += 1
            elif isinstance(output, Heartbeat):
                if received_ns - self._last_heartbeat_ns < _HEARTBEAT_NS:
                    continue
                self._last_heartbeat_ns = received_ns
            elif isinstance(output, Reconnect):
                order = _firmer(order, output)
                continue
            elif isinstance(output, Patience):
                self.patience_s = output.wait_s
                continue
            lines.append(output)
        if lines:
            self._writer.write(self._encode_lines(lines))
        return order

    def catch_up(self, kept: Sequence[tuple[bytes, int]]) -> Reconnect | None:
        """Take in what this connection received while another one was leading.

        The ledger knows which trades that one told. Of the quotes only the last one of each symbol is told, and only
        if it is later than what the other connection told.

        Raises:
            OutputClosedError: Nobody reads our lines any more.
        """
        order: Reconnect | None = None
        newest: dict[str, Tick] = {}
        lines: list[Output] = []
        for message, received_ns in kept:
            for output in self._map(message, received_ns):
                if isinstance(output, Reconnect):
                    order = _firmer(order, output)
                elif isinstance(output, Patience):
                    self.patience_s = output.wait_s
                elif isinstance(output, Tick) and output.price is None:
                    newest[output.raw_symbol] = output
                elif not isinstance(output, Heartbeat):
                    self.tally.trades += isinstance(output, Tick)
                    lines.append(output)
        self._behind = set(self._quotes)
        for quote in newest.values():
            if not self._is_behind(quote):
                self._quotes[quote.raw_symbol] = quote
                self.tally.quotes += 1
                lines.append(quote)
        if lines:
            self._writer.write(self._encode_lines(lines))
        return order

    def _is_behind(self, quote: Tick) -> bool:
        """Whether the connection before has told this quote or a later one already."""
        if quote.raw_symbol not in self._behind:
            return False
        if self._ledger.is_superseded(quote):
            return True
        self._behind.discard(quote.raw_symbol)
        return False

    def _map(self, message: bytes, received_ns: int) -> Sequence[Output]:
        self.tally.messages += 1
        try:
            return self._mapper.map(message, received_ns)
        except UNREADABLE as error:
            self._report_unreadable(message, error)
            return ()

    def _report_unreadable(self, message: bytes, error: Exception) -> None:
        self.tally.unreadable += 1
        if self.tally.unreadable == 1:  # the first tells what is wrong; the number of them is in the summary
            sample = message[:_SAMPLE_BYTES].decode("utf-8", "replace")
            self._writer.status("error", f"unreadable message ({type(error).__name__}: {error}): {sample}")


def _firmer(order: Reconnect | None, other: Reconnect) -> Reconnect:
    """Of two orders the one that wants to be left alone for longer; the later one if both want the same."""
    return order if order is not None and order.wait_s > other.wait_s else other
