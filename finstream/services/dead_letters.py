"""Rejected lines: kept in a file, counted on the bus, sampled in the log. None of it can hold anything up.

A flood of garbage is the normal case here. The pump counts every rejected line but tells of them only as fast as it is
listened to; the file takes what its disk takes. What does not make it into the file is counted, and said in the log at
most once a minute.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
import trio

from finstream.pump import LineRejected, Pump
from finstream.services.dead_letter_file import DeadLetterFile
from finstream.services.line_writer import LineWriter
from finstream.services.logs import Logger
from finstream.services.ports import Publisher
from finstream.vocabulary.events import LinesRejected
from finstream.vocabulary.settings import DeadLetterSettings

__all__ = ["DeadLetter", "DeadLetterStatistics", "DeadLetters"]

_TELL_EVERY_S = 1.0
"""Per asset, on the bus and in the log."""
_TURN_S = 0.25
_COMPLAIN_EVERY_S = 60.0
_CLOSE_WITHIN_S = 1.0
_SAMPLE_CHARACTERS = 200
_PIECE_BYTES = 65_536


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the file."""

    at: int
    """When it was received, in microseconds since the epoch."""
    asset: str
    reason: str
    line: str | None = None
    """The line if it is UTF-8; of one that was too long, its beginning."""
    line_base64: bytes | None = None
    """The same if it is not."""
    line_bytes: int
    """The length of the whole line, as far as it is known."""


class DeadLetterStatistics(msgspec.Struct, frozen=True):
    taken: int
    written: int
    lost: int
    """Not written: the queue was full, or the file could not be written."""
    queued: int
    last_error: str


class _Tally:
    """What has been told of one asset, and what has not."""

    def __init__(self) -> None:
        self.told_at = float("-inf")
        self.told_counts: dict[str, int] = {}
        self.sample: LineRejected | None = None


class DeadLetters:
    """``take`` is what the pump's callback hands rejected lines to."""

    def __init__(self, settings: DeadLetterSettings, *, pump: Pump, bus: Publisher, logger: Logger) -> None:
        self._settings = settings
        self._pump = pump
        self._bus = bus
        self._logger = logger
        self._file = DeadLetterFile(settings)
        piece_bytes = min(_PIECE_BYTES, settings.max_bytes)
        self._writer = LineWriter(self._file.append, name="dead letters", piece_bytes=piece_bytes)
        self._encoder = msgspec.json.Encoder()
        self._tallies: dict[int, _Tally] = {}
        self._arrived = trio.Event()
        self._complained_at = float("-inf")
        self._complained_of = 0

    def take(self, rejected: LineRejected) -> None:
        """Never blocks, never fails."""
        self._writer.write(self._encoder.encode(self._letter(rejected)) + b"\n")
        tally = self._tallies.setdefault(rejected.asset, _Tally())
        tally.sample = tally.sample or rejected
        self._arrived.set()

    def statistics(self) -> DeadLetterStatistics:
        state = self._writer.statistics()
        return DeadLetterStatistics(state.emitted, state.written, state.dropped, state.queued, self._file.last_error)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell of rejected lines until cancelled; then write what waits, for at most a second."""
        task_status.started()
        try:
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                while self._tell_due() or self._writer.statistics().queued:
                    self._complain()
                    await trio.sleep(_TURN_S)
                self._complain()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._writer.close, _CLOSE_WITHIN_S)
            for asset, tally in self._tallies.items():
                if tally.sample is not None:
                    self._tell(asset, tally, tally.sample)
            self._complain(at_once=True)

    def _letter(self, rejected: LineRejected) -> DeadLetter:
        text: str | None = None
        with suppress(UnicodeDecodeError):
            text = rejected.line.decode()
        return DeadLetter(
            at=rejected.received_ns // 1000,
            asset=self._pump.asset_name(rejected.asset),
            reason=rejected.reason,
            line=text,
            line_base64=rejected.line if text is None else None,
            line_bytes=rejected.line_bytes,
        )

    def _tell_due(self) -> bool:
        """Tell of the assets whose turn it is. Returns whether others have to wait for theirs."""
        now, waiting = trio.current_time(), False
        for asset, tally in self._tallies.items():
            if tally.sample is None:
                continue
            if now - tally.told_at < _TELL_EVERY_S:
                waiting = True
                continue
            tally.told_at = now
            self._tell(asset, tally, tally.sample)
        return waiting

    def _tell(self, asset: int, tally: _Tally, sample: LineRejected) -> None:
        # The pump's own counts: it may have rejected more lines than it had room to tell of.
        counts = self._pump.asset_statistics(asset).rejected
        new = {reason: count - tally.told_counts.get(reason, 0) for reason, count in counts.items()}
        new = {reason: count for reason, count in new.items() if count}
        tally.told_counts, tally.sample = counts, None
        if not new:
            return
        name = self._pump.asset_name(asset)
        text = sample.line[: 4 * _SAMPLE_CHARACTERS].decode(errors="replace")[:_SAMPLE_CHARACTERS]
        self._logger.warning("lines rejected", asset=name, counts=new, sample_reason=sample.reason, sample=text)
        self._bus.publish(LinesRejected(asset=name, counts=new, sample_reason=sample.reason, sample=text))

    def _complain(self, *, at_once: bool = False) -> None:
        state, now = self.statistics(), trio.current_time()
        if state.lost == self._complained_of or (now - self._complained_at < _COMPLAIN_EVERY_S and not at_once):
            return
        lost, self._complained_of, self._complained_at = state.lost - self._complained_of, state.lost, now
        self._logger.error(
            "rejected lines could not be kept in the dead-letter file",
            path=self._settings.path, lost=lost, lost_altogether=state.lost, error=state.last_error,
        )  # fmt: skip
