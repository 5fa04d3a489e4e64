"""Assets that pause while their market is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from finstream.children.asset import Asset

__all__ = ["Markets"]


class Markets:
    """Knows which markets are closed, and has the assets that follow them pause and go on. Nothing here blocks.

    Until something is said of a market it counts as closed: nothing is started for a moment only. A paused asset has the reason
    ``MarketClosed``.
    """

    def __init__(self, assets: Callable[[], Iterable[Asset]]) -> None:
        self._assets = assets
        self._closed = {"nasdaq": "whether nasdaq is open is not known yet"}

    def tell(self, market: str, closed_because: str | None) -> None:
        """A market is closed, and why, in words for people; None: it is not."""
        if closed_because is None:
            self._closed.pop(market, None)
        else:
            self._closed[market] = closed_because
        self.refresh()

    def refresh(self) -> None:
        """Assets are new, or follow another market."""
        for asset in self._assets():
            asset.heed_market(self._closed.get(asset.market))
