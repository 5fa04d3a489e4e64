"""Tells the bus how the sources rank, whenever that has changed."""

from __future__ import annotations

from finstream.pump import Pump
from finstream.services.ports import Publisher
from finstream.vocabulary.events import ArenaRanked

__all__ = ["Rankings"]


class Rankings:
    """Remembers what was told last. The owner of the clock calls :meth:`tell`, so there are no more events than it has beats."""

    def __init__(self, *, pump: Pump, bus: Publisher) -> None:
        self._pump = pump
        self._bus = bus
        self._told: list[str] = []

    def tell(self, ranking: list[str], now_ns: int) -> None:
        """``ranking`` are the assets overall, best first; the symbols' own rankings are the pump's."""
        symbols = self._pump.new_rankings(now_ns=now_ns)
        if ranking != self._told or symbols:
            self._told = ranking
            self._bus.publish(ArenaRanked(ranking=ranking, symbols=symbols))
