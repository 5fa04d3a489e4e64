"""What the services ask of others. The engine passes the real ones in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from finstream.vocabulary.events import Event

__all__ = ["Clock", "Demand", "Holding", "Logger", "Publisher", "wall_clock_us"]

Clock = Callable[[], int]
"""Tells the time in microseconds since the epoch, UTC."""


def wall_clock_us() -> int:
    return time.time_ns() // 1000


class Logger(Protocol):
    """A structlog logger: an event in plain words, and fields. The calls neither block nor raise."""

    def bind(self, **fields: Any) -> Any: ...
    def debug(self, event: str, /, **fields: Any) -> Any: ...
    def info(self, event: str, /, **fields: Any) -> Any: ...
    def warning(self, event: str, /, **fields: Any) -> Any: ...
    def error(self, event: str, /, **fields: Any) -> Any: ...
    def critical(self, event: str, /, **fields: Any) -> Any: ...
    def exception(self, event: str, /, **fields: Any) -> Any: ...


class Demand(Protocol):
    """Who wants an asset. Calls are counted and neither block nor raise, also for an asset that is not configured."""

    def want(self, asset: str) -> None: ...

    def unwant(self, asset: str) -> None: ...


class Holding(Protocol):
    """Who pauses assets while memory is short. The calls neither block nor raise; they return the assets' names."""

    def hold_lowest(self) -> list[str]:
        """Pause those of the lowest priority among the assets that run."""

    def release(self) -> list[str]:
        """Let those that were paused in this way go on."""


class Publisher(Protocol):
    """The bus, as seen by those who only speak on it."""

    def publish(self, event: Event) -> None: ...
