"""Which symbols there are: those that a pricing asset has ticked since the engine started."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

import msgspec
import trio

from finstream.pump import Pump

__all__ = ["Symbols", "TickedSymbol", "find"]

_LONGEST_BYTES = 64
"""Lines with a longer symbol are rejected."""
_FRESH_S = 1.0


class TickedSymbol(msgspec.Struct, frozen=True):
    symbol: str
    assets: list[str]
    """The pricing assets that have ticked it, by name."""


class Symbols:
    """All symbols there are. Whoever asks gets them a second old at most, or as old as twenty looks for them take: with tens of
    thousands of symbols a look takes the engine a good part of a second, and those who ask page by page would have it do nothing
    else."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._looking = trio.Lock()
        self._found: list[TickedSymbol] = []
        self._among: frozenset[str] = frozenset()
        self._fresh_until = -float("inf")

    async def ticked(self, assets: Collection[str]) -> list[TickedSymbol]:
        """By name; of each asset the first 65,536 that it named. ``assets`` are those that are configured."""
        async with self._looking:
            if trio.current_time() >= self._fresh_until or self._among != assets:
                began = trio.current_time()
                self._found, self._among = await _look(self._pump, assets), frozenset(assets)
                ended = trio.current_time()
                self._fresh_until = ended + max(_FRESH_S, 20 * (ended - began))
            return self._found


async def _look(pump: Pump, assets: Collection[str]) -> list[TickedSymbol]:
    found: dict[str, list[str]] = defaultdict(list)
    for asset, handle in sorted(_racing(pump, assets)):
        for entry in pump.symbol_statistics(handle):
            if entry.ticks:
                found[entry.symbol].append(asset)
        await trio.lowlevel.checkpoint()  # with thousands of symbols each of them takes milliseconds
    return [TickedSymbol(symbol, found[symbol]) for symbol in sorted(found)]


def find(pump: Pump, name: str, assets: Collection[str]) -> str | None:
    """The symbol that somebody has ticked under this name; ``BTC-USDT`` is also ``BTC/USDT``, as in a URL's path."""
    if len(name.encode()) > _LONGEST_BYTES:
        return None
    handles = [handle for _asset, handle in _racing(pump, assets)]
    for spelling in _spellings(name):
        for handle in handles:
            if (entry := pump.symbol(handle, spelling)) is not None and entry.ticks:
                return spelling
    return None


def _racing(pump: Pump, assets: Collection[str]) -> Iterator[tuple[str, int]]:
    for entry in pump.arena():
        if entry.asset in assets:
            handle = pump.asset_handle(entry.asset)
            assert handle is not None, "who is in the arena has a handle"
            yield entry.asset, handle


def _spellings(name: str) -> Iterator[str]:
    """As it stands, and with one of the dashes as the slash it may have been: ``BRK-B-USD`` is ``BRK-B/USD`` or ``BRK/B-USD``."""
    yield name
    at = len(name)
    while (at := name.rfind("-", 0, at)) >= 0:
        yield f"{name[:at]}/{name[at + 1 :]}"
