"""How many clients there are, how their connections ended, and who they are, as far as an operator can read it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

import msgspec

from finstream.pump import OutboxStatistics, OutboxTotals, Pump
from finstream.services.session import Session
from finstream.vocabulary.events import Receipt
from finstream.vocabulary.policies import PLAIN

__all__ = ["MOST_LISTED", "Census", "ClientStatistics", "ClientsStatistics", "Ending"]

MOST_LISTED = 200
"""With thousands of clients a list of all would cost more than the rest of telemetry together."""
_ENDINGS_KEPT = 50


class Ending(msgspec.Struct, frozen=True):
    client: str
    receipt: Receipt


class ClientStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One connected client."""

    uuid: str
    client_class: str = msgspec.field(name="class")
    peer: str
    connected_since: int
    """Microseconds since the epoch."""
    topics: int
    policies: dict[str, int]
    """How many topics have each policy."""
    outbox: OutboxStatistics


class ClientsStatistics(msgspec.Struct, frozen=True, kw_only=True):
    registered: int
    connected: int
    totals: OutboxTotals
    """Over all outboxes; sinks have theirs, too."""
    endings: dict[str, int]
    """Of connections since the start, by reason: keys of :data:`finstream.vocabulary.reasons.CLOSINGS`."""
    recent_endings: list[Ending]
    """The newest 50 of those that the engine ended, or that broke; the newest last."""
    listed: list[ClientStatistics]
    """Connected ones, at most 200: those for whom something waits before all others."""


class Census:
    """For :class:`finstream.services.sessions.Sessions`."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._endings: Counter[str] = Counter()
        self._recent: deque[Ending] = deque(maxlen=_ENDINGS_KEPT)

    def note_end(self, uuid: str, receipt: Receipt) -> None:
        self._endings[receipt.reason] += 1
        if receipt.reason != "client_left":
            self._recent.append(Ending(uuid, receipt))

    def of(self, sessions: Iterable[Session]) -> ClientsStatistics:
        registered = 0
        connected = {}
        for session in sessions:
            registered += 1
            if session.connection is not None:
                connected[session.connection.outbox] = session
        totals, waiting = self._pump.outbox_totals(MOST_LISTED)
        outboxes = list(dict.fromkeys([outbox for outbox in waiting if outbox in connected]))
        for outbox in connected:
            if len(outboxes) >= MOST_LISTED:
                break
            if outbox not in waiting:
                outboxes.append(outbox)
        listed = [found for outbox in outboxes if (found := self._one(outbox, connected[outbox])) is not None]
        listed.sort(key=lambda client: -client.outbox.queued_bytes)
        return ClientsStatistics(
            registered=registered, connected=len(connected), totals=totals, endings=dict(self._endings),
            recent_endings=list(self._recent), listed=listed,
        )  # fmt: skip

    def _one(self, outbox: int, session: Session) -> ClientStatistics | None:
        connection, statistics = session.connection, self._pump.outbox_statistics(outbox)
        if connection is None or statistics is None:
            return None
        policies: Counter[str] = Counter(policy.policy for policy in session.policies.values())
        policies[PLAIN.policy] += len(session.topics) - len(session.policies)
        return ClientStatistics(
            uuid=session.uuid, client_class=session.client_class, peer=connection.peer, connected_since=connection.since_us,
            topics=len(session.topics), policies={name: count for name, count in policies.items() if count}, outbox=statistics,
        )  # fmt: skip
