"""What connections have subscribed to, as the pump and the supervisor are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from finstream.pump import Pump, Wanted
from finstream.services.connection import Connection
from finstream.services.ports import Demand
from finstream.services.session import Session
from finstream.vocabulary.policies import Policy
from finstream.vocabulary.topics import Topic

__all__ = ["Subscriptions"]


class Subscriptions:
    """A connection counts as demand once for each asset that it has a topic of, and is then told the asset's state: before
    the first message of the asset, and before the demand changes that state. Later changes the pump broadcasts."""

    def __init__(self, pump: Pump, demand: Demand) -> None:
        self._pump = pump
        self._demand = demand

    def take(self, session: Session, topics: Iterable[Topic], policy: Policy) -> bool:
        """Let a client have these topics with this policy; returns whether that changes anything."""
        changed = {topic: policy for topic in topics if topic not in session.topics or session.policy(topic) != policy}
        added = {topic: policy for topic in changed if topic not in session.topics}
        for topic in changed:
            session.take(topic, policy)
        if connection := session.connection:
            if served_otherwise := {topic: policy for topic in changed if topic not in added}:
                self._take_up(connection, served_otherwise, b"")
            if added:
                self.add(connection, added)
        return bool(changed)

    def drop(self, session: Session, topics: Iterable[Topic]) -> None:
        """The last message of the topics has been queued when this returns."""
        for topic in topics:
            session.drop(topic)
            if connection := session.connection:
                self._remove(connection, topic)

    def add(self, connection: Connection, topics: Mapping[Topic, Policy], *, greeting: bytes = b"") -> None:
        """A connection has come to want these. ``greeting`` is sent first."""
        newly_wanted = [asset for asset in dict.fromkeys(topic.asset for topic in topics) if asset not in connection.wanted]
        connection.wanted.update(topic.asset for topic in topics)
        self._take_up(connection, topics, greeting + b"".join(map(connection.state_of, newly_wanted)))
        for asset in newly_wanted:
            self._demand.want(asset)

    def end(self, connection: Connection) -> None:
        """The connection wants nothing any more. Its outbox, with its subscriptions, is its owner's to remove."""
        wanted, connection.wanted = connection.wanted, Counter()
        for asset in wanted:
            self._demand.unwant(asset)

    def wake(self, connection: Connection) -> None:
        """Subscribe what was dormant and is known to the pump by now."""
        known = {topic: policy for topic, policy in connection.dormant.items() if self._pump.asset_handle(topic.asset) is not None}
        if known:
            for topic in known:
                del connection.dormant[topic]
            assets = dict.fromkeys(topic.asset for topic in known)
            self._take_up(connection, known, b"".join(map(connection.state_of, assets)))

    def _remove(self, connection: Connection, topic: Topic) -> None:
        connection.dormant.pop(topic, None)
        if (asset := self._pump.asset_handle(topic.asset)) is not None:
            self._pump.unsubscribe(connection.outbox, asset, topic.symbol)
        connection.wanted[topic.asset] -= 1
        if not connection.wanted[topic.asset]:
            del connection.wanted[topic.asset]
            self._demand.unwant(topic.asset)

    def _take_up(self, connection: Connection, topics: Mapping[Topic, Policy], words: bytes) -> None:
        known: list[Wanted] = []
        for topic, policy in topics.items():
            if (asset := self._pump.asset_handle(topic.asset)) is None:
                connection.dormant[topic] = policy
            else:
                known.append((asset, topic.symbol, policy))
        self._pump.take_up(connection.outbox, words, known, priority=connection.priority)
