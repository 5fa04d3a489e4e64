"""Turns at a client to which threads come, and now and then something that interrupts one of them: the handler of a
signal, or the garbage collector that ends a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Turns"]


class Turns:
    """Threads wait for each other. What interrupts a thread at its work cannot wait for that very thread: it asks
    :attr:`is_interrupting`, and leaves a call to be made when that work is done."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Taken only :meth:`at_work`."""
        self._put_off: dict[int, list[Callable[[], None]]] = {}
        """By thread at work: the calls for when it is done."""

    @property
    def is_interrupting(self) -> bool:
        """Whether the caller's own thread is at work, below the caller."""
        return threading.get_ident() in self._put_off

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around all work that takes the lock; not within itself."""
        me = threading.get_ident()
        self._put_off[me] = []
        try:
            yield
        finally:
            for call in self._put_off.pop(me):
                call()

    def when_done(self, call: Callable[[], None]) -> None:
        """Call it now, or, where the caller interrupts its own thread at work, at the end of that."""
        put_off = self._put_off.get(threading.get_ident())
        if put_off is None:
            call()
        else:
            put_off.append(call)
