"""What this package needs from its surroundings, which are passed in."""

from __future__ import annotations

from typing import Any, Protocol

from finstream.vocabulary.events import Event

__all__ = ["Bus", "Logger"]


class Bus(Protocol):
    """The system bus, as far as the children need it."""

    def publish(self, event: Event, /) -> None:
        """Never blocks, never raises."""


class Logger(Protocol):
    """A structlog logger, as far as the children need it."""

    def bind(self, **fields: Any) -> Any: ...
    def debug(self, event: str, /, **fields: Any) -> Any: ...
    def info(self, event: str, /, **fields: Any) -> Any: ...
    def warning(self, event: str, /, **fields: Any) -> Any: ...
    def error(self, event: str, /, **fields: Any) -> Any: ...
