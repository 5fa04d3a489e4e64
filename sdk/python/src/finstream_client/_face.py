"""What all clients have in common: what they are made from, and whom they are."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod

from finstream_client._addresses import DEFAULT_URL, Addresses
from finstream_client._session import Session
from finstream_client._telling import OnEvent, log_event
from finstream_client.backoff import Backoff

__all__ = ["Face"]


class Face(ABC):
    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        stream_url: str | None = None,
        uuid: str | None = None,
        client_class: str | None = None,
        on_event: OnEvent = log_event,
        backoff: Backoff | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """A client of the engine whose public REST address is ``url``. Nothing is sent yet.

        Args:
          stream_url: The stream's address; by default the port after that of ``url``.
          uuid: A client that is registered already, whose topics are taken over; by default a new one is registered.
          client_class: The class to register as, one of the engine's ``client_classes``.
          on_event: Is given every message and notice that is not iterated over; by default they are logged.
          backoff: The pauses between attempts to connect again.
          ssl_context: Whom to trust, for https and wss; by default the system's certificates.
          timeout_s: How long to wait for a connection or for the answer to a request.

        Raises:
          ValueError: An address is none.
        """
        self._at = Addresses.of(url, stream_url)
        self._tell = on_event
        self._ssl = ssl_context or (ssl.create_default_context() if self._at.is_encrypted else None)
        self._timeout_s = timeout_s
        self._session = Session(
            self._at.host_header,
            path=self._at.path,
            uuid=uuid,
            client_class=client_class,
            backoff=backoff,
            handshake_s=timeout_s,
        )
        self._iterating = False
        self._prepare(url, ssl_context)

    @abstractmethod
    def _prepare(self, url: str, ssl_context: ssl.SSLContext | None) -> None:
        """Make ready what depends on how the program waits."""

    @property
    def uuid(self) -> str | None:
        """The client's UUID; None before it is registered."""
        return self._session.uuid
