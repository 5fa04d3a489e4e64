"""What the demo shows, gathered from its engine over the same interfaces that everybody uses."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import trio

from finstream.cli.addresses import Addresses
from finstream.cli.arena import Place, fetch_arena
from finstream.cli.client import Rest
from finstream.cli.failures import Refused, Unreachable
from finstream.cli.messages import Message, read_message
from finstream.cli.subscription import Subscription

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
        self._refreshed = 0.0

    async def follow_arena(self, rest: Rest) -> None:
        """Ask for the arena and the assets again and again, until cancelled."""
        while True:
            with suppress(Unreachable, Refused):  # it is being rebooted; what is shown stays
                await self._refresh(rest)
            await trio.sleep(_REFRESH_S)

    async def _refresh(self, rest: Rest) -> None:
        before = {place.asset: place.ticks for place in self.places}
        _, self.places = await fetch_arena(rest)
        now = trio.current_time()
        passed_s, self._refreshed = now - self._refreshed, now
        for place in self.places:
            rate = max(0, place.ticks - before.get(place.asset, place.ticks)) / passed_s
            self.rates[place.asset] = self.rates.get(place.asset, rate) * (1 - _RATE_WEIGHT) + rate * _RATE_WEIGHT
        for asset in self.assets:
            body = await rest.call("public", "GET", f"/v1/assets/{asset}")
            self.views[asset] = msgspec.json.decode(body, type=AssetView)

    async def follow_ticks(self, addresses: Addresses) -> None:
        """Subscribe to all assets and keep the latest ticks, until cancelled."""

        async def keep(text: str) -> None:
            message = read_message(text)
            if message.seq is not None:
                self.total += 1
                self.ticks = [*self.ticks[1 - _TICKS_KEPT :], message]

        await Subscription(addresses, self.assets, write=keep, note=lambda _text: None, as_json=True).run()
