"""How often the symbols are looked for; what is found is a matter of the engine's tests."""

from __future__ import annotations

from typing import Any, NamedTuple

import trio
import trio.testing

from finstream.services.symbols_view import Symbols


class _Place(NamedTuple):
    asset: str


class _Symbol(NamedTuple):
    symbol: str
    ticks: int


class _Pump:
    """Counts the looks. ``takes_s`` is how long each asset's symbols take it."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self.takes_s = 0.0
        self.looks = 0

    def arena(self) -> list[_Place]:
        self.looks += 1
        return [_Place("one"), _Place("two")]

    def asset_handle(self, asset: str) -> int:
        return len(asset)

    def symbol_statistics(self, _handle: int) -> list[_Symbol]:
        self._clock.jump(self.takes_s)
        return [_Symbol(f"S{self.looks}", 1)]


async def test_those_who_ask_often_cost_no_more_than_one_who_asks_at_times(mock_clock: trio.testing.MockClock) -> None:
    pump: Any = _Pump(mock_clock)
    symbols = Symbols(pump)

    async def ask() -> list[str]:
        return [each.symbol for each in await symbols.ticked({"one", "two"})]

    for _ in range(10):
        assert await ask() == ["S1"]
        mock_clock.jump(0.09)
    mock_clock.jump(0.2)
    assert await ask() == ["S2"]
    assert [each.assets for each in await symbols.ticked({"one"})] == [["one"]], "another configuration holds at once"
    pump.takes_s = 0.25
    mock_clock.jump(1)
    assert await ask() == ["S4"]
    mock_clock.jump(9.9)
    assert await ask() == ["S4"], "a twentieth of the time at most"
    mock_clock.jump(0.2)
    assert await ask() == ["S5"]
