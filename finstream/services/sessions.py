"""The clients: who is registered, wants what, is connected or may still come back.

A client registers and gets a UUID. It is *connected* while one connection of it is open, else *waiting*: for as long as
its reconnection window lasts, after which it is forgotten. Its topics outlive connections and, through the store, the
engine.

Rules that hold here and nowhere else:

* The newest connection of a client wins; the older one is told ``replaced``.
* Only connected clients count as demand, once for each asset they have a topic of.
* An answer reaches the client before the first message that follows from it: callers pass in ``announce``, which is
  called after everything has been checked and before the pump is told.
* A request is carried out as a whole or not at all.
* After the engine died, a client that was connected has a full window from the next start; after a clean stop as well,
  because nobody can connect to an engine that is not there. One that was waiting keeps its window.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

import msgspec
import trio

from finstream.pump import Pump
from finstream.services.census import Census, ClientsStatistics
from finstream.services.client_classes import ClientClasses
from finstream.services.connection import Connection
from finstream.services.logs import Logger
from finstream.services.ports import Clock, Demand, Publisher, wall_clock_us
from finstream.services.registry import Registry
from finstream.services.session import ClientView, Session
from finstream.services.store import Store
from finstream.services.subscriptions import Subscriptions
from finstream.services.topic_requests import read_topics, require_at_most, require_known
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import ClientConnected, ClientDisconnected, Receipt
from finstream.vocabulary.policies import PLAIN, Policy
from finstream.vocabulary.settings import STANDARD_CLASS, Limits
from finstream.vocabulary.topics import Topic

__all__ = ["Sessions"]

_ENGINE_ENDINGS = ("engine_stopping", "engine_restarting")
_OUR_CONCERN = ("slow_consumer_bytes", "slow_consumer_age", "memory_pressure", "unresponsive", "internal_error")
"""Endings that an operator wants to see among the warnings."""


def _say_nothing(*_topics: list[Topic]) -> None:
    pass


class Sessions:
    """Use it from the Trio thread only. Nothing but :meth:`run` blocks or is a checkpoint.

    ``evicted(uuid, freed_bytes)`` is told of each connection that ended because memory was short.

    Every method that takes a UUID raises ``RequestError("unknown-client")`` if there is no such client, but for
    :meth:`disconnect`.
    """

    def __init__(
        self,
        *,
        pump: Pump,
        demand: Demand,
        bus: Publisher,
        store: Store,
        logger: Logger,
        limits: Limits,
        reconnect_window_s: float,
        known_assets: Callable[[], Collection[str]],
        classes: ClientClasses | None = None,
        evicted: Callable[[str, int], None] = lambda _client, _freed_bytes: None,
        clock: Clock = wall_clock_us,
    ) -> None:
        self._registry = Registry(
            store=store, bus=bus, logger=logger, limits=limits, reconnect_window_s=reconnect_window_s, clock=clock
        )
        self._census = Census(pump)
        self._subscriptions = Subscriptions(pump, demand)
        self._pump = pump
        self._bus = bus
        self._logger = logger.bind()  # for good: a logger that follows the configuration of logging costs twice as much a line
        self._most_topics = limits.topics_per_client
        self._known_assets = known_assets
        self._classes = classes or ClientClasses({})
        self._evicted = evicted
        self._clock = clock

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Resume what the store kept, say that this has started, then forget clients whose window is over."""
        await self._registry.run(task_status=task_status)

    # --- clients ---

    def register(self, client_class: str = STANDARD_CLASS) -> Session:
        """A new client. It waits for its first connection as it would for any other.

        Raises:
          RequestError: ``too-many-clients``; ``invalid-field``: there is no such class.
        """
        self._classes.require(client_class)
        return self._registry.register(client_class)

    def unregister(self, uuid: str, *, origin: str) -> None:
        """Forget a client; an open connection is told ``unregistered``. ``origin`` says in the log who asked."""
        session = self.get(uuid)
        connection = _detach(session)
        self._registry.remove(session, "requested", origin=origin)
        if connection is not None:
            self._subscriptions.end(connection)
            connection.close("unregistered")

    def get(self, uuid: str) -> Session:
        return self._registry.get(uuid)

    def describe(self, uuid: str) -> ClientView:
        session = self.get(uuid)
        connection = session.connection
        statistics = None if connection is None else self._pump.outbox_statistics(connection.outbox)
        return session.view(statistics, self._pump.asset_name)

    def statistics(self) -> ClientsStatistics:
        return self._census.of(self._registry)

    # --- connections ---

    def connect(
        self,
        uuid: str,
        outbox: int,
        peer: str,
        close: Callable[[str], None],
        *,
        greeting: Callable[[Session], bytes] = lambda _session: b"",
        state_of: Callable[[str], bytes] = lambda _asset: b"",
    ) -> Session:
        """A connection of the client is open, and its outbox known to the pump, which takes it up: with ``greeting(session)``, then
        the client's topics.

        ``close(reason)`` is called at most once, if the connection is to end: ``replaced`` or ``unregistered``. It must
        not block; the connection's owner then calls :meth:`disconnect` as after any other end.

        ``state_of(asset)`` is sent for each asset that the connection comes to want, now and later, before the asset's first
        message: its present state. Both are bytes, framed.
        """
        session = self.get(uuid)
        priority = self._classes.priority(session.client_class)
        connection = Connection(outbox, peer, self._clock(), close, state_of, priority)
        older = _detach(session)
        if older is not None:
            older.close("replaced")
        session.connection = connection
        session.expires_at = None
        topics = {topic: session.policy(topic) for topic in session.topics}
        self._subscriptions.add(connection, topics, greeting=greeting(session))
        if older is not None:
            self._subscriptions.end(older)  # after the new one's wants, so that no count falls to nothing in between
        self._registry.keep(session)
        self._logger.info("client connected", client=uuid, peer=peer, topics=len(topics), replaces=older is not None)
        self._bus.publish(ClientConnected(client=uuid, peer=peer, resumed_topics=len(topics)))
        return session

    def disconnect(self, uuid: str, outbox: int, receipt: Receipt) -> None:
        """A connection has ended, however it did. Also for one that was replaced, or whose client is gone."""
        self._census.note_end(uuid, receipt)
        with suppress(RequestError):
            self._note_end(self.get(uuid), outbox, receipt)
        log = self._logger.warning if receipt.reason in _OUR_CONCERN else self._logger.info
        told = {name: value for name, value in msgspec.to_builtins(receipt).items() if name != "at"}
        log("client disconnected", client=uuid, **told)
        self._bus.publish(ClientDisconnected(client=uuid, receipt=receipt))
        if receipt.reason == "memory_pressure":
            self._evicted(uuid, receipt.queued_bytes)

    def refresh_priorities(self) -> None:
        """The classes' priorities have changed: tell the pump of every connection's."""
        for session in self._registry:
            if session.connection is not None:
                session.connection.priority = self._classes.priority(session.client_class)
                self._pump.set_priority(session.connection.outbox, session.connection.priority)

    def _note_end(self, session: Session, outbox: int, receipt: Receipt) -> None:
        session.last_receipt = receipt
        if session.connection is None or session.connection.outbox != outbox:
            return
        self._subscriptions.end(session.connection)
        session.connection = None
        self._registry.wait(session)
        if receipt.reason in _ENGINE_ENDINGS:
            session.expires_at = None
            self._registry.keep(session)

    # --- subscriptions ---

    def subscribe(
        self,
        uuid: str,
        topics: list[str],
        *,
        policy: Policy = PLAIN,
        field: str = "$.topics",
        announce: Callable[[list[Topic]], None] = _say_nothing,
    ) -> list[Topic]:
        """Add topics, and let ``policy`` hold for all that are named. Returns those that are new.

        Raises:
          RequestError: ``invalid-topic``, ``unknown-asset`` (both with the path of the topic), or ``too-many-topics``.
        """
        session = self.get(uuid)
        asked = read_topics(topics, field)
        added = self._new(session, asked)
        require_at_most(self._most_topics, len(session.topics) + len(added), field)
        if not policy.merges:
            # What was held back so far comes before the answer: what comes after it is all there is.
            self._take(session, [topic for topic in asked if topic in session.topics], policy)
        announce(added)
        self._take(session, asked, policy)
        return added

    def unsubscribe(self, uuid: str, topics: list[str], *, field: str = "$.topics") -> list[Topic]:
        """Take topics away; those that are not subscribed are ignored. Returns the ones that were.

        The last message of a topic has been queued when this returns: answer then.

        Raises:
          RequestError: ``invalid-topic``.
        """
        session = self.get(uuid)
        removed = [topic for topic in read_topics(topics, field) if topic in session.topics]
        self._drop(session, removed)
        return removed

    def replace(
        self,
        uuid: str,
        topics: list[str],
        *,
        policy: Policy = PLAIN,
        field: str = "$.topics",
        announce: Callable[[list[Topic], list[Topic]], None] = _say_nothing,
    ) -> tuple[list[Topic], list[Topic]]:
        """Have these topics and no others, all with this policy. Returns those added and those removed.

        Raises:
          RequestError: as :meth:`subscribe`.
        """
        session = self.get(uuid)
        asked = read_topics(topics, field)
        added = self._new(session, asked)
        require_at_most(self._most_topics, len(asked), field)
        removed = [topic for topic in session.topics if topic not in asked]
        self._drop(session, removed)
        announce(added, removed)
        self._take(session, asked, policy)
        return added, removed

    def refresh_assets(self) -> None:
        """The pump has got new assets: wake the subscriptions that were waiting for them."""
        for session in self._registry:
            if session.connection is not None:
                self._subscriptions.wake(session.connection)

    def _new(self, session: Session, asked: dict[Topic, str]) -> list[Topic]:
        new = {topic: path for topic, path in asked.items() if topic not in session.topics}
        # Not so those subscribed already: their asset may have left the configuration, and may come back.
        require_known(new, self._known_assets())
        return list(new)

    def _take(self, session: Session, asked: Iterable[Topic], policy: Policy) -> None:
        if self._subscriptions.take(session, asked, policy):
            self._registry.keep(session)

    def _drop(self, session: Session, removed: list[Topic]) -> None:
        self._subscriptions.drop(session, removed)
        if removed:
            self._registry.keep(session)


def _detach(session: Session) -> Connection | None:
    # Before anybody is told, because whoever is told may call back.
    connection, session.connection = session.connection, None
    return connection
