"""What ``async for`` runs over. No I/O.

It is no generator: the event loop ends those that a ``break`` or an exception leaves behind, but some time later, and
Trio with a warning. This one ends as soon as nobody holds it.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from finstream_client._inbox import Item

__all__ = ["Iteration"]

_T = TypeVar("_T")


class Iteration(AsyncIterator[_T], Generic[_T]):
    """A loop: begins with its first item, ends with an exception, :meth:`aclose`, or when nobody holds it any more.

    Args:
      begin: Is given this before the first item; raises if no loop can begin.
      read: Returns what came, or nothing at the end.
      end: Is called once if it began, in the event loop's thread.
      pick: Makes of what came what the loop is to see.
    """

    def __init__(
        self,
        begin: Callable[[Iteration[Any]], None],
        read: Callable[[], Awaitable[list[Item | bytes]]],
        end: Callable[[], None],
        pick: Callable[[list[Item | bytes]], Iterator[_T]],
    ) -> None:
        self._do_begin = begin
        self._read = read
        self._do_end = end
        self._pick = pick
        self._rest: Iterator[_T] = iter(())
        self._thread: int | None = None
        """That of the event loop, from the beginning to the end."""
        self._is_waiting = False
        self._is_over = False

    def __aiter__(self) -> Iteration[_T]:
        return self

    async def __anext__(self) -> _T:
        """Raises what the client's method names."""
        self._only_one()
        if self._is_over:
            raise StopAsyncIteration
        self._is_waiting = True
        try:
            if self._thread is None:
                self._do_begin(self)
                self._thread = threading.get_ident()
            while True:
                for one in self._rest:
                    return one
                items = await self._read()
                if not items:
                    raise StopAsyncIteration
                self._rest = self._pick(items)
        except BaseException:  # cancelled, too: what was half done cannot be gone on with
            self._end()
            raise
        finally:
            self._is_waiting = False

    async def aclose(self) -> None:
        """End it now; see :func:`contextlib.aclosing`."""
        self._only_one()
        self._end()

    def __del__(self) -> None:
        if self._thread == threading.get_ident():  # else the collector came in another one: the next loop ends it
            self._end()

    def _only_one(self) -> None:
        if self._is_waiting:
            raise RuntimeError("another task is waiting for the next item of this loop")

    def _end(self) -> None:
        self._is_over = True
        if self._thread is not None:
            self._thread = None
            self._do_end()
