"""What the servers ask of others. The engine passes the real ones in."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Logger"]


class Logger(Protocol):
    """A structlog logger, as far as the servers need it."""

    def debug(self, event: str, /, **fields: Any) -> Any: ...
    def info(self, event: str, /, **fields: Any) -> Any: ...
    def warning(self, event: str, /, **fields: Any) -> Any: ...
    def error(self, event: str, /, **fields: Any) -> Any: ...
