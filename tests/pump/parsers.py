"""The two parsers behind one face: ``(kind, text)``, where the text is the message, or the reason of a rejection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import twin

from finstream import _fastpath
from finstream.new_york_offsets import NEW_YORK_OFFSETS

__all__ = ["Parser", "by_twin", "native"]

if not Path(_fastpath.__file__).is_relative_to(os.environ.get("FINSTREAM_SANITIZED", "/")):
    raise ImportError(f"{_fastpath.__file__} is not the instrumented extension")

KINDS: dict[type[twin.Result], str] = {
    twin.Rejected: "rejected", twin.Tick: "tick", twin.Opaque: "opaque", twin.Status: "status",
    twin.Heartbeat: "heartbeat", twin.Ignored: "ignored",
}


class Parser(Protocol):
    def __call__(
        self,
        line: bytes,
        *,
        asset: str = "test",
        seq: int = 1,
        received_ns: int = 0,
        future_ms: int = -1,
        max_age_ms: int = -1,
        simulated: bool = False,
    ) -> tuple[str, bytes]: ...


def native(
    line: bytes,
    *,
    asset: str = "test",
    seq: int = 1,
    received_ns: int = 0,
    future_ms: int = -1,
    max_age_ms: int = -1,
    simulated: bool = False,
) -> tuple[str, bytes]:
    return _fastpath.parse_line(
        line, NEW_YORK_OFFSETS, asset=asset, seq=seq, received_ns=received_ns, future_ms=future_ms,
        max_age_ms=max_age_ms,
        simulated=simulated,
    )


def by_twin(
    line: bytes,
    *,
    asset: str = "test",
    seq: int = 1,
    received_ns: int = 0,
    future_ms: int = -1,
    max_age_ms: int = -1,
    simulated: bool = False,
) -> tuple[str, bytes]:
    result = twin.parse_line(
        line, asset=asset, seq=seq, received_ns=received_ns, future_ms=future_ms, max_age_ms=max_age_ms,
        simulated=simulated
    )
    match result:
        case twin.Rejected(reason):
            return "rejected", reason.encode()
        case twin.Tick(message) | twin.Opaque(message):
            return KINDS[type(result)], message
    return KINDS[type(result)], b""
