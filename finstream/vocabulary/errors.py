"""What can go wrong, and whose fault it is.

    FinStreamError
    +-- ConfigError         the operator's: the configuration; carries where, what and the remedy
    +-- RequestError        the caller's: a REST or WebSocket request; carries the problem type and the field
    +-- PumpFailed          ours: a native thread, the pump's or the TLS acceptor's, ended although nobody asked it to
"""

from __future__ import annotations

__all__ = ["ConfigError", "FinStreamError", "PumpFailed", "RequestError"]


class FinStreamError(Exception):
    """Base of every error that FinStream raises on purpose."""


class ConfigError(FinStreamError):
    """The configuration cannot be used.

    ``where`` is the path of the key (``assets.binance.origin``), or the file's name; ``problem`` says what is wrong with it;
    ``remedy`` says what to write instead.
    """

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{where}: {problem}" + (f" ({remedy})" if remedy else ""))


class RequestError(FinStreamError):
    """A request that cannot be served, told apart by ``problem``: a key of :data:`finstream.vocabulary.problems.PROBLEMS`.

    ``field`` is the path of the offending member (``$.topics[1]``), if there is one. The servers turn it into problem details
    (REST) or an ``error`` message (WebSocket).
    """

    def __init__(self, problem: str, detail: str, *, field: str | None = None) -> None:
        self.problem = problem
        self.detail = detail
        self.field = field
        super().__init__(detail)


class PumpFailed(FinStreamError):  # noqa: N818 - an event, named as such
    """A native thread ended by itself. The engine ends with it: a supervisor starts it again."""
