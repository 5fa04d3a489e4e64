"""A pump whose thread does not run, fed with lines at chosen times of receipt: what the arena decides by time, without waiting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rig import Subscriber

from finstream.pump import Framing, Pump, SymbolForm

__all__ = ["MS", "START", "Course", "S", "course", "told"]

MS, S = 1_000_000, 1_000_000_000
START = 1_700_000_000 * S


class Course:
    """Times are ns after :data:`START`."""

    def __init__(self, *, simulated: bool = False) -> None:
        self.pump = Pump(simulated=simulated)
        self.best = self.pump.add_best("best")
        self.subscribers: list[Subscriber] = []
        self._pipes: dict[str, tuple[int, int, int]] = {}

    def enter(self, *assets: str) -> None:
        """Each with a source that is there, and says nothing."""
        for asset in assets:
            reading, writing = os.pipe()
            source = self.pump.add_source(self.pump.add_asset(asset), reading, lambda _event: None)
            self._pipes[asset] = (source, reading, writing)

    def leave(self, asset: str) -> None:
        """Its source goes."""
        source, *pipe = self._pipes.pop(asset)
        self.pump.remove_source(source)
        for end in pipe:
            os.close(end)

    def take(self, asset: str, at: int, *, lag: int = 0, symbol: str = "A", **members: Any) -> None:
        """A tick, ``lag`` older than its receipt. Without members, one that tells a quote."""
        tick = {"symbol": symbol, "ts": START + at - lag, **(members or {"bid": "1"})}
        handle = self.pump.asset_handle(asset)
        assert handle is not None
        self.pump._native.take(handle, json.dumps(tick).encode() + b"\n", START + at)

    def trade(self, asset: str, at: int, number: int, **told: Any) -> None:
        members = {"exchange": "venue", "trade_id": str(number), "price": str(number)} | told
        self.take(asset, at, **{name: value for name, value in members.items() if value is not None})

    def subscribe(self, symbol: str | None = "A") -> Subscriber:
        subscriber = Subscriber(self.pump, framing=Framing.LINES)
        self.subscribers.append(subscriber)
        assert self.pump.subscribe(subscriber.handle, self.best, symbol)
        return subscriber

    def form(self, asset: str, symbol: str = "A") -> SymbolForm:
        handle = self.pump.asset_handle(asset)
        assert handle is not None
        form = self.pump.form_on_symbol(handle, symbol)
        assert form is not None
        return form

    def close(self) -> None:
        for subscriber in self.subscribers:
            subscriber.remove()
            os.close(subscriber.socket.detach())  # Trio closes no socket outside of a run
        for asset in list(self._pipes):
            self.leave(asset)


def told(subscriber: Subscriber) -> list[dict[str, Any]]:
    """What has come since the last look."""
    subscriber.read_now()
    return [json.loads(message) for message in subscriber.take()]


@contextmanager
def course(*assets: str, simulated: bool = False) -> Iterator[Course]:
    course = Course(simulated=simulated)
    try:
        course.enter(*assets)
        yield course
    finally:
        course.close()
