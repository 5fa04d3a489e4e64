"""What an ingestor and a sink do differently, as the runner sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from trio.lowlevel import FdStream

from finstream.children.lifecycle import State
from finstream.children.spec import ChildSpec

__all__ = ["Role", "Wires"]


class Wires(Protocol):
    """The standard streams of one run, both ends open. What is ours is closed by :meth:`release`."""

    @property
    def theirs(self) -> tuple[int, int, int]:
        """The child's standard input, output and error."""

    @property
    def logs(self) -> Sequence[tuple[str, FdStream]]:
        """Our ends of what is logged, by the stream's name. Closed by their reader."""

    def close_theirs(self) -> None:
        """The child has its ends now, or will never need them."""

    def connect(self, stop: Callable[[str], None]) -> None:
        """Give our end to the pump. ``stop(reason)`` is called when the child does not keep up."""

    async def let_go(self) -> str:
        """Wait until the child closed its data stream. Returns the reason to stop it, should it stay."""

    async def end_input(self, within_s: float) -> bool:
        """Ask the child to leave by ending its input, after what is queued for it. False: it has none."""

    async def drain(self) -> None:
        """The child is gone: wait, with a bound, until the pump has read all that it wrote."""

    def release(self) -> None:
        """Take our end from the pump and close it. May be called again."""


class Role(Protocol):
    """One asset or one sink."""

    @property
    def linger_s(self) -> float:
        """How long it keeps running when nobody wants it."""

    def is_wanted(self) -> bool: ...

    def open_wires(self, spec: ChildSpec) -> Wires:
        """The standard streams for the next run.

        Raises:
          OSError: no file descriptor left, or no pseudo-terminal.
        """

    def changed(self, previous: State) -> None:
        """The state changed. Neither blocks nor raises."""
