"""An open connection of a client, as the sessions see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from finstream.vocabulary.policies import Policy
from finstream.vocabulary.topics import Topic

__all__ = ["Connection"]


class Connection:
    """An open connection of a client. The outbox is the pump's, what ``close`` closes is the server's.

    ``tell_state(asset)`` pushes the asset's present state to the client, if there is such an asset.
    """

    def __init__(
        self, outbox: int, peer: str, since_us: int, close: Callable[[str], None], tell_state: Callable[[str], None]
    ) -> None:
        self.outbox = outbox
        self.peer = peer
        self.since_us = since_us
        self.close = close
        self.tell_state = tell_state
        self.wanted: Counter[str] = Counter()
        """Assets, each with how many topics of it are subscribed."""
        self.dormant: dict[Topic, Policy] = {}
        """Topics of assets that the pump does not know (yet)."""
