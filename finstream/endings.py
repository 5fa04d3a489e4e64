"""How an engine can end: its exit codes, and one line for each failure. From 64 on the codes are those of
``sysexits.h``."""

from __future__ import annotations

from collections.abc import Iterator

from finstream.servers.listeners import ListenError
from finstream.services.logs import Logger
from finstream.vocabulary.errors import ConfigError, FinStreamError, PumpFailed

__all__ = [
    "INTERNAL", "INTERRUPTED", "MISCONFIGURED", "OK", "PUMP_FAILED", "REBOOT", "TOLD_TWICE", "UNAVAILABLE", "explain",
]  # fmt: skip

OK = 0
TOLD_TWICE = 1
"""A second signal: it left without tidying up."""
UNAVAILABLE = 69
"""An address of ``listen`` cannot be used."""
INTERNAL = 70
"""A bug; the log has its traceback."""
PUMP_FAILED = 71
REBOOT = 75
"""Start again. No process ends with it: the one that ran the engine becomes the next."""
MISCONFIGURED = 78
INTERRUPTED = 130
"""Ctrl-C before the engine had its signals."""

_CODES: dict[type[FinStreamError], int] = {
    ConfigError: MISCONFIGURED,
    ListenError: UNAVAILABLE,
    PumpFailed: PUMP_FAILED,
}


def explain(error: Exception, log: Logger) -> int:
    """Say in the log why the engine ended; returns the exit code. Of a group, the first known cause counts."""
    for cause in _causes(error):
        for kind, code in _CODES.items():
            if isinstance(cause, kind):
                log.error(str(cause), exit_code=code)
                return code
    log.critical("the engine failed", exit_code=INTERNAL, exc_info=error)
    return INTERNAL


def _causes(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _causes(member)
    else:
        yield error
