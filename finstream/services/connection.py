"""An open connection of a client, as the sessions see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from finstream.vocabulary.policies import Policy
from finstream.vocabulary.topics import Topic

__all__ = ["Connection"]


class Connection:
    """An open connection of a client. The outbox is the pump's, what ``close`` closes is the server's.

    ``state_of(asset)`` is the asset's present state, framed for the client; empty if there is no such asset.
    """

    def __init__(
        self,
        outbox: int,
        peer: str,
        since_us: int,
        close: Callable[[str], None],
        state_of: Callable[[str], bytes],
        priority: int,
    ) -> None:
        self.outbox = outbox
        self.peer = peer
        self.since_us = since_us
        self.close = close
        self.state_of = state_of
        self.priority = priority
        self.wanted: Counter[str] = Counter()
        """Assets, each with how many topics of it are subscribed."""
        self.dormant: dict[Topic, Policy] = {}
        """Topics of assets that the pump does not know (yet)."""
