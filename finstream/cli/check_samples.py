"""Reads what the pump makes of an ingestor's lines, and keeps the figures that a report needs; bounded in memory."""

from __future__ import annotations

from array import array
from collections import Counter

import msgspec

from finstream.cli.check_observation import Lags
from finstream.vocabulary.settings import QualitySettings

__all__ = ["Samples"]

_MOST_SAMPLES = 1_000_000
_MOST_NAMES = 1000
_PAUSE_US = 250_000
_BURST_MESSAGES = 20
_FUTURE_US = (QualitySettings().future_ms or 0) * 1000
_MAX_AGE_US = (QualitySettings().max_age_ms or 0) * 1000


class _Message(msgspec.Struct, frozen=True, gc=False):
    type: str
    ts_event: int
    ts_recv: int
    symbol: str | None = None
    price: str | None = None
    trade_id: str | None = None
    event_id: str | None = None


class Samples:
    """Feed it messages in the order of the stream."""

    def __init__(self) -> None:
        self.looked_at = 0
        self.trades = 0
        self.quotes = 0
        self.trades_without_identity = 0
        self.types: Counter[str] = Counter()
        self.symbols: Counter[str] = Counter()
        self.first_received_us: int | None = None
        self.in_future = 0
        self.too_far_ahead = 0
        self.too_old = 0
        self._lags = array("q")
        self._bursts: list[tuple[int, int]] = []
        self._in_this_burst = 0
        self._burst_since_us = 0
        self.longest_gap_us = 0
        self._sizes = array("q")
        self._last_received_us = 0
        self._in_this_arrival = 0
        self._decode = msgspec.json.Decoder(_Message).decode

    def add(self, line: bytes) -> None:
        self.looked_at += 1
        message = self._decode(line)
        self._count_arrival(message.ts_recv)
        if message.type != "tick":
            _count_name(self.types, message.type)
            return
        _count_name(self.symbols, message.symbol or "")
        if message.price is None:
            self.quotes += 1
        else:
            self.trades += 1
            self.trades_without_identity += message.trade_id is None and message.event_id is None
        lag = message.ts_recv - message.ts_event
        self.in_future += lag < 0
        self.too_far_ahead += lag < -_FUTURE_US
        self.too_old += lag > _MAX_AGE_US
        if len(self._lags) < _MOST_SAMPLES:
            self._lags.append(lag)

    def _count_arrival(self, received_us: int) -> None:
        if self.first_received_us is None:
            self.first_received_us = self._burst_since_us = received_us
        elif received_us != self._last_received_us:
            self._end_arrival()
            self._take_gap(received_us - self._last_received_us)
        self._last_received_us = received_us
        self._in_this_arrival += 1
        self._in_this_burst += 1

    def _take_gap(self, gap_us: int) -> None:
        self.longest_gap_us = max(self.longest_gap_us, gap_us)
        if gap_us < _PAUSE_US:
            return
        lasted_us = self._last_received_us - self._burst_since_us
        if self._in_this_burst >= _BURST_MESSAGES and lasted_us * 10 < gap_us and len(self._bursts) < _MOST_SAMPLES:
            self._bursts.append((self._in_this_burst, gap_us))
        self._in_this_burst = 0
        self._burst_since_us = self._last_received_us + gap_us

    def _end_arrival(self) -> None:
        if self._in_this_arrival and len(self._sizes) < _MOST_SAMPLES:
            self._sizes.append(self._in_this_arrival)
        self._in_this_arrival = 0

    def lags(self) -> Lags | None:
        if not self._lags:
            return None
        ordered = sorted(self._lags)
        return Lags(
            ticks=len(ordered),
            min_us=ordered[0],
            median_us=ordered[len(ordered) // 2],
            p99_us=ordered[len(ordered) * 99 // 100],
            max_us=ordered[-1],
            in_future=self.in_future,
            too_far_ahead=self.too_far_ahead,
            too_old=self.too_old,
        )

    def sizes(self) -> list[int]:
        """Messages in each arrival."""
        self._end_arrival()
        return list(self._sizes)

    def bursts(self) -> list[tuple[int, int]]:
        """Many messages at once, each time with the pause (µs) that followed."""
        return self._bursts


def _count_name(counter: Counter[str], name: str) -> None:
    if name in counter or len(counter) < _MOST_NAMES:
        counter[name] += 1
