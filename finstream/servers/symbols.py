"""The part of the public REST interface that tells of symbols."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import msgspec

from finstream.children.supervisor import Supervisor
from finstream.pump import Pump
from finstream.servers.routes import Call, Route
from finstream.services import arena_view, symbols_view
from finstream.services.arena_view import ArenaPlace
from finstream.services.feed_judgement import Hours
from finstream.services.symbols_view import TickedSymbol
from finstream.vocabulary.errors import RequestError

__all__ = ["MOST_AT_ONCE", "SymbolDetail", "SymbolList", "symbol_routes"]

MOST_AT_ONCE = 10_000
"""Half a megabyte or so."""


class SymbolList(msgspec.Struct, frozen=True, omit_defaults=True):
    symbols: list[TickedSymbol]
    """By name."""
    next: str | None = None
    """There are more: ask again with ``after`` this one. Absent at the end."""


class SymbolDetail(msgspec.Struct, frozen=True):
    symbol: str
    arena: list[ArenaPlace]
    """The assets that have ticked it, best first."""


def symbol_routes(*, pump: Pump, supervisor: Supervisor, hours: Callable[[str], Hours]) -> list[Route]:
    symbols_there_are = symbols_view.Symbols(pump)

    async def every(call: Call) -> SymbolList:
        limit, after = _limit(call.query.get("limit")), call.query.get("after", "")
        assets = {status.name for status in supervisor.statuses()}
        symbols = await symbols_there_are.ticked(assets)
        first = bisect_right(symbols, after, key=lambda each: each.symbol)
        page = symbols[first : first + limit]
        return SymbolList(page, page[-1].symbol if first + limit < len(symbols) else None)

    async def one(call: Call) -> SymbolDetail:
        name = call.arguments["symbol"]
        assets = {status.name: status for status in supervisor.statuses()}
        symbol = symbols_view.find(pump, name, assets)
        if symbol is None:
            raise RequestError("unknown-symbol", f"no asset has ticked {name[:64]!r} since the engine started")
        return SymbolDetail(symbol, arena_view.per_symbol(pump, symbol, assets, hours=hours))

    return [
        Route(
            method="GET", path="/symbols", operation="listSymbols",
            summary="The symbols that were ticked since the engine started, and by which assets.",
            query={
                "limit": f"At most so many: 1 to {MOST_AT_ONCE}, which is also what holds without it.",
                "after": "Only symbols that come after this one by name: the `next` of the answer before.",
            },
            handler=every, answer=SymbolList,
        ),
        Route(
            method="GET", path="/symbols/{symbol}", operation="describeSymbol",
            summary="One symbol, a slash in it written as a dash (BTC-USDT), and how the assets that tick it rank.",
            handler=one, answer=SymbolDetail, problems=("unknown-symbol",),
        ),
    ]  # fmt: skip


def _limit(text: str | None) -> int:
    if text is None:
        return MOST_AT_ONCE
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MOST_AT_ONCE):
        raise RequestError("invalid-field", f"limit is a whole number from 1 to {MOST_AT_ONCE}", field="?limit")
    return int(text)
