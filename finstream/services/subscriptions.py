"""What connections have subscribed to, as the pump and the supervisor are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from finstream.pump import Pump
from finstream.services.ports import Demand
from finstream.vocabulary.policies import Policy
from finstream.vocabulary.topics import Topic

__all__ = ["Connection", "Subscriptions"]


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


class Subscriptions:
    """A connection counts as demand once for each asset that it has a topic of, and is then told the asset's state: before
    the first message of the asset, and before the demand changes that state. Later changes the pump broadcasts."""

    def __init__(self, pump: Pump, demand: Demand) -> None:
        self._pump = pump
        self._demand = demand

    def add(self, connection: Connection, topics: Mapping[Topic, Policy]) -> None:
        for topic, policy in topics.items():
            if topic.asset not in connection.wanted:
                connection.tell_state(topic.asset)
            self._subscribe(connection, topic, policy)
            connection.wanted[topic.asset] += 1
            if connection.wanted[topic.asset] == 1:
                self._demand.want(topic.asset)

    def change(self, connection: Connection, topics: Mapping[Topic, Policy]) -> None:
        """Other policies for what the connection has already."""
        for topic, policy in topics.items():
            self._subscribe(connection, topic, policy)

    def remove(self, connection: Connection, topics: Iterable[Topic]) -> None:
        """The last message of the topics has been queued when this returns."""
        for topic in topics:
            connection.dormant.pop(topic, None)
            if (asset := self._pump.asset_handle(topic.asset)) is not None:
                self._pump.unsubscribe(connection.outbox, asset, topic.symbol)
            connection.wanted[topic.asset] -= 1
            if not connection.wanted[topic.asset]:
                del connection.wanted[topic.asset]
                self._demand.unwant(topic.asset)

    def end(self, connection: Connection) -> None:
        """The connection wants nothing any more. Its outbox, with its subscriptions, is its owner's to remove."""
        wanted, connection.wanted = connection.wanted, Counter()
        for asset in wanted:
            self._demand.unwant(asset)

    def wake(self, connection: Connection) -> None:
        """Subscribe what was dormant and is known to the pump by now."""
        for asset in dict.fromkeys(topic.asset for topic in connection.dormant):
            if self._pump.asset_handle(asset) is not None:
                connection.tell_state(asset)
        dormant, connection.dormant = connection.dormant, {}
        for topic, policy in dormant.items():
            self._subscribe(connection, topic, policy)

    def _subscribe(self, connection: Connection, topic: Topic, policy: Policy) -> None:
        if (asset := self._pump.asset_handle(topic.asset)) is None:
            connection.dormant[topic] = policy
        else:
            self._pump.subscribe(connection.outbox, asset, topic.symbol, policy)
