"""Who is registered, until when, and what of it outlives the engine."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterator
from contextlib import suppress

import trio

from finstream.services.logs import Logger
from finstream.services.ports import Clock, Publisher
from finstream.services.session import Session
from finstream.services.store import ClientRecord, Store
from finstream.services.windows import Windows
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import ClientRegistered, ClientUnregistered
from finstream.vocabulary.policies import PLAIN
from finstream.vocabulary.settings import Limits
from finstream.vocabulary.topics import parse_topic

__all__ = ["Registry"]


class Registry:
    """For :class:`finstream.services.sessions.Sessions`, which has the rules."""

    def __init__(
        self, *, store: Store, bus: Publisher, logger: Logger, limits: Limits, reconnect_window_s: float, clock: Clock
    ) -> None:
        self._store = store
        self._bus = bus
        self._logger = logger
        self._limits = limits
        self._window_s = reconnect_window_s
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._windows = Windows()

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Resume what the store kept, say that this has started, then forget clients whose window is over."""
        self._resume(await self._store.load())
        task_status.started()
        while True:
            for session in self._windows.overdue():
                self.remove(session, "window_over")
            await self._windows.next_change()

    def _resume(self, records: list[ClientRecord]) -> None:
        now_us, overdue = self._clock(), 0
        for record in records:
            left_s = self._window_s
            if record.expires_at is not None:
                left_s = min(left_s, (record.expires_at - now_us) / 1e6)
            if left_s <= 0 or len(self._sessions) >= self._limits.clients:
                self._store.forget(record.uuid)
                overdue += 1
                continue
            session = Session(record.uuid, record.registered_at, record.client_class)
            for text in record.topics[: self._limits.topics_per_client]:
                with suppress(RequestError):  # a topic of a kind that another version knew
                    session.take(parse_topic(text), record.policies.get(text, PLAIN))
            self._sessions[record.uuid] = session
            self._wait(session, left_s)
        if records:
            self._logger.info("clients resumed", resumed=len(self._sessions), overdue=overdue)

    def register(self, client_class: str) -> Session:
        """
        Raises:
          RequestError: ``too-many-clients``.
        """
        if len(self._sessions) >= self._limits.clients:
            raise RequestError("too-many-clients", f"{self._limits.clients} clients are registered (limits.clients)")
        session = Session(str(uuids.uuid4()), self._clock(), client_class)
        self._sessions[session.uuid] = session
        self.wait(session)
        self._logger.debug("client registered", client=session.uuid)
        self._bus.publish(ClientRegistered(client=session.uuid))
        return session

    def get(self, uuid: str) -> Session:
        """
        Raises:
          RequestError: ``unknown-client``.
        """
        if (session := self._sessions.get(uuid)) is None:
            detail = "there is no such client: it was never registered, or its reconnection window is over"
            raise RequestError("unknown-client", detail)
        return session

    def remove(self, session: Session, reason: str, **fields: str) -> None:
        """Forget a session; its connection, if it has one, is the caller's concern."""
        del self._sessions[session.uuid]
        session.is_forgotten = True
        self._store.forget(session.uuid)
        self._logger.info("client unregistered", client=session.uuid, reason=reason, **fields)
        self._bus.publish(ClientUnregistered(client=session.uuid, reason=reason))

    def keep(self, session: Session) -> None:
        """Let the session's present state outlive the engine."""
        self._store.save(session.record())

    def wait(self, session: Session) -> None:
        """The session's window opens now, and is kept."""
        self._wait(session, self._window_s)

    def _wait(self, session: Session, seconds: float) -> None:
        session.expires_at = self._clock() + int(seconds * 1e6)
        self._windows.open(session, seconds)
        self.keep(session)
