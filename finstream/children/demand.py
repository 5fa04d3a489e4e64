"""Who wants which asset: plain counting, and the waiting until nobody has wanted it for long enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import trio

__all__ = ["Demand", "until_unwanted"]


class Demand:
    """Counts, for each asset, the subscribers that want it.

    ``changed(asset, newly_wanted)`` is called on the spot after each change; it must neither block nor raise. An asset
    may be wanted before it is configured.
    """

    def __init__(self, changed: Callable[[str, bool], None]) -> None:
        self._changed = changed
        self._counts: Counter[str] = Counter()

    def want(self, asset: str) -> None:
        """One more subscriber wants the asset. To be taken back by exactly one :meth:`unwant`."""
        self._counts[asset] += 1
        self._changed(asset, True)

    def unwant(self, asset: str) -> None:
        """A subscriber no longer wants the asset.

        Raises:
          ValueError: nobody wanted it; a bug of the caller's.
        """
        if not self._counts[asset]:
            raise ValueError(f"nobody wants {asset!r}")
        self._counts[asset] -= 1
        if not self._counts[asset]:
            del self._counts[asset]
        self._changed(asset, False)

    def wanted_by(self, asset: str) -> int:
        """How many want it."""
        return self._counts.get(asset, 0)


async def until_unwanted(
    is_wanted: Callable[[], bool], linger_s: Callable[[], float], news: trio.lowlevel.ParkingLot
) -> None:
    """Wait until nobody has wanted something for ``linger_s()`` seconds on end.

    ``news`` is unparked whenever one of the two may have changed. A linger that is shortened, or lengthened, under way
    starts anew.
    """
    while True:
        while is_wanted():
            await news.park()
        wait_s = linger_s()
        with trio.move_on_after(wait_s) as linger:
            while not is_wanted() and linger_s() == wait_s:
                await news.park()
        if linger.cancelled_caught and not is_wanted():
            return
