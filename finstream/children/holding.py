"""Assets that pause because memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from finstream.children.asset import Asset

__all__ = ["Holding"]


class Holding:
    """Pauses assets, the least important first, and lets them go on. Nothing here blocks.

    An asset that is held is ``paused`` for the reason ``MemoryPressure``. Operators may start it, or pause it themselves.
    """

    def __init__(self, assets: Callable[[], Iterable[Asset]]) -> None:
        self._assets = assets

    def hold_lowest(self) -> list[str]:
        """Pause those of the lowest priority among the assets that run. Returns their names; none if nothing runs."""
        running = [asset for asset in self._assets() if asset.runner.life.state in {"starting", "running"}]
        lowest = min((asset.priority for asset in running), default=0)
        held = [asset for asset in running if asset.priority == lowest]
        for asset in held:
            asset.runner.hold("MemoryPressure")
        return [asset.name for asset in held]

    def release(self) -> list[str]:
        """Let those that are held start again, if they are wanted. Returns their names."""
        return [asset.name for asset in self._assets() if asset.runner.relieve("MemoryPressure")]
