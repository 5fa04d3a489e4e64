"""What a session wants done next. The faces do these, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Call", "Dial", "Exchange", "Pause", "Step"]


@dataclass(frozen=True, slots=True)
class Call:
    """Send a REST request to the public address; then ``answered`` or ``failed``. Without a ``timeout_s`` of its own it
    has the client's."""

    method: str
    path: str
    body: bytes | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection to the stream's address; then ``dialled`` or ``failed``."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send ``data_to_send()``, wait for bytes up to ``timeout_s`` and give them to ``received``; none at the end. Or
    ``failed``."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Drop the connection, if there is one, wait for so long, then ``waited``."""

    seconds: float


Step: TypeAlias = Call | Dial | Exchange | Pause
