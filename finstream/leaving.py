"""How long the children may take to leave, and what is done when nobody waits for them any more."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from finstream.children.status import AssetStatus
from finstream.services.logs import Logs
from finstream.vocabulary.settings import Settings

__all__ = ["Leaving"]


class Leaving:
    """``assets`` tells how the assets are now, ``running`` the settings in effect."""

    def __init__(self, assets: Callable[[], Sequence[AssetStatus]], running: Callable[[], Settings], logs: Logs) -> None:
        self._assets = assets
        self._running = running
        self._logs = logs

    def longest_ladder_s(self) -> float:
        """Of all children that there may be."""
        running = self._running()
        return max((child.stop_grace_s for child in [*running.assets.values(), *running.sinks.values()]), default=0.0)

    def ladder_under_way_s(self) -> float:
        """Of the children that have a process; of sinks, nobody knows."""
        running = self._running()
        alive = {status.name for status in self._assets() if status.pid is not None}
        children = [*(child for name, child in running.assets.items() if name in alive), *running.sinks.values()]
        return max((child.stop_grace_s for child in children), default=0.0)

    def at_once(self, code: int) -> None:
        """End the process where it stands. The ingestors first; whatever is left of anything, the guardian ends."""
        for status in self._assets():
            if status.pid is not None:
                with suppress(OSError):
                    os.killpg(status.pid, signal.SIGKILL)
        self._logs.close()
        os._exit(code)
