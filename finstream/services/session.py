"""One registered client: what it wants, whether it is connected, and how it last was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from finstream.pump import OutboxStatistics
from finstream.services.connection import Connection
from finstream.services.store import ClientRecord
from finstream.vocabulary.events import Receipt
from finstream.vocabulary.policies import PLAIN, Policy
from finstream.vocabulary.settings import STANDARD_CLASS
from finstream.vocabulary.topics import Topic

__all__ = ["ClientView", "Session", "StreamView"]


class StreamView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The connection's account: ``published == delivered + queued_messages + skipped + conflated + killed``; control messages
    aside."""

    published: int
    delivered: int
    queued_messages: int
    skipped: int
    conflated: int
    killed: int
    queued_bytes: int
    oldest_ms: int
    """How long the oldest waiting byte has waited."""
    sent_bytes: int
    last_asset: str | None = None
    last_seq: int | None = None


class ClientView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client as its owner sees it. Times are microseconds since the epoch."""

    uuid: str
    state: Literal["connected", "waiting"]
    registered_at: int
    client_class: str = msgspec.field(name="class")
    topics: list[str]
    policies: dict[str, Policy] = {}
    """Of those topics that have any choices."""
    expires_at: int | None = None
    """When a waiting client is forgotten unless it connects."""
    connected_since: int | None = None
    peer: str | None = None
    statistics: StreamView | None = None
    last_receipt: Receipt | None = None
    """How its last connection ended, if one did since the engine started."""


class Session:
    """Changed by :class:`finstream.services.sessions.Sessions` only."""

    def __init__(self, uuid: str, registered_at: int, client_class: str = STANDARD_CLASS) -> None:
        self.uuid = uuid
        self.registered_at = registered_at
        self.client_class = client_class
        self.topics: dict[Topic, str] = {}
        """In the order of subscribing, each with its text."""
        self.policies: dict[Topic, Policy] = {}
        """Of those topics that have another than the plain one."""
        self.connection: Connection | None = None
        self.expires_at: int | None = None
        """Of a waiting session."""
        self.last_receipt: Receipt | None = None
        self.is_forgotten = False
        self.deadline = 0.0
        """``expires_at`` by Trio's clock, for :mod:`finstream.services.windows`."""
        self.has_window_entry = False

    @property
    def is_waiting(self) -> bool:
        return self.connection is None and not self.is_forgotten

    def topic_names(self) -> list[str]:
        return list(self.topics.values())

    def policy(self, topic: Topic) -> Policy:
        return self.policies.get(topic, PLAIN)

    def policy_names(self) -> dict[str, Policy]:
        return {str(topic): policy for topic, policy in self.policies.items()}

    def take(self, topic: Topic, policy: Policy) -> None:
        """Have this topic, with this policy from now on."""
        self.topics.setdefault(topic, str(topic))
        if policy == PLAIN:
            self.policies.pop(topic, None)
        else:
            self.policies[topic] = policy

    def drop(self, topic: Topic) -> None:
        del self.topics[topic]
        self.policies.pop(topic, None)

    def record(self) -> ClientRecord:
        return ClientRecord(
            self.uuid, self.registered_at, self.topic_names(), self.expires_at, self.policy_names(), self.client_class
        )

    def view(self, statistics: OutboxStatistics | None, asset_name: Callable[[int], str]) -> ClientView:
        connection = self.connection
        return ClientView(
            uuid=self.uuid,
            state="waiting" if connection is None else "connected",
            registered_at=self.registered_at,
            client_class=self.client_class,
            topics=self.topic_names(),
            policies=self.policy_names(),
            expires_at=self.expires_at if connection is None else None,
            connected_since=None if connection is None else connection.since_us,
            peer=None if connection is None else connection.peer,
            statistics=None if statistics is None else _stream_view(statistics, asset_name),
            last_receipt=self.last_receipt,
        )


def _stream_view(statistics: OutboxStatistics, asset_name: Callable[[int], str]) -> StreamView:
    return StreamView(
        published=statistics.published,
        delivered=statistics.delivered,
        queued_messages=statistics.queued_messages,
        skipped=statistics.skipped,
        conflated=statistics.conflated,
        killed=statistics.killed,
        queued_bytes=statistics.queued_bytes,
        oldest_ms=statistics.oldest_ms,
        sent_bytes=statistics.sent_bytes,
        last_asset=None if statistics.last_asset is None else asset_name(statistics.last_asset),
        last_seq=statistics.last_seq,
    )
