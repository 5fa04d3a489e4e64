"""What the demo shows, gathered from its engine over the same interfaces that everybody uses."""

from __future__ import annotations

import msgspec
import trio

from finstream.cli.arena import Place, fetch_arena
from finstream.cli.client import Rest, open_stream
from finstream.cli.messages import Message, read_message

__all__ = ["AssetView", "DemoState"]

_REFRESH_S = 0.25
_TICKS_KEPT = 30
_RATE_WEIGHT = 0.2


class _Statistics(msgspec.Struct, frozen=True):
    rejected: dict[str, int] = {}


class AssetView(msgspec.Struct, frozen=True):
    """An asset as ``GET /v1/assets/{asset}`` tells of it."""

    state: str
    statistics: _Statistics
    restarts: int = 0


class DemoState:
    """Kept up to date by :meth:`follow_arena` and :meth:`follow_ticks`; read it at any time."""

    def __init__(self, assets: list[str]) -> None:
        self.assets = assets
        self.places: list[Place] = []
        self.rates: dict[str, float] = {}
        """Ticks a second, smoothed."""
        self.views: dict[str, AssetView] = {}
        self.ticks: list[Message] = []
        """The latest, oldest first."""
        self.total = 0

    async def follow_arena(self, rest: Rest) -> None:
        """Ask for the arena and the assets again and again, until cancelled."""
        at = trio.current_time()
        while True:
            before = {place.asset: place.ticks for place in self.places}
            _, self.places = await fetch_arena(rest)
            passed_s, at = trio.current_time() - at, trio.current_time()
            for place in self.places:
                now = (place.ticks - before.get(place.asset, place.ticks)) / passed_s
                self.rates[place.asset] = self.rates.get(place.asset, now) * (1 - _RATE_WEIGHT) + now * _RATE_WEIGHT
            for asset in self.assets:
                body = await rest.call("public", "GET", f"/v1/assets/{asset}")
                self.views[asset] = msgspec.json.decode(body, type=AssetView)
            await trio.sleep(_REFRESH_S)

    async def follow_ticks(self, rest: Rest) -> None:
        """Subscribe to all assets and keep the latest ticks, until cancelled."""
        uuid = await rest.register()
        await rest.add_topics(uuid, self.assets)
        async with open_stream(rest.addresses, uuid) as connection:
            while True:
                message = read_message(await connection.get_message())
                if message.seq is not None:
                    self.total += 1
                    self.ticks = [*self.ticks[1 - _TICKS_KEPT :], message]
