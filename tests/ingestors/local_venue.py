"""Venues on a local port: real sockets, and for each venue a server that speaks its documented protocol.

``VenueServer`` plays a script for each connection and knows no venue. ``LocalVenue`` is the base of those that know one: it
takes requests, has them answered by the venue's rules, and once all is subscribed to it performs the connection's act, such
as playing a recording.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

Script = Callable[[ServerConnection], None]


class VenueServer:
    """A venue that plays one script per connection and holds further ones open. What a script raises fails the test."""

    def __init__(self, scripts: Sequence[Script], refusals: Sequence[Response]) -> None:
        self._scripts = list(scripts)
        self._refusals = list(refusals)
        self.errors: list[BaseException] = []
        self.connections = 0
        self.handshakes: list[Request] = []
        self._server = serve(
            self._handle, "127.0.0.1", 0, process_request=self._refuse, compression=None, close_timeout=1
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/"

    def _refuse(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        return self._refusals.pop(0) if self._refusals else None

    def _handle(self, connection: ServerConnection) -> None:
        script = self._scripts[self.connections] if self.connections < len(self._scripts) else hold
        self.connections += 1
        try:
            script(connection)
        except ConnectionClosed:
            pass
        except BaseException as error:  # handed to the test's own thread
            self.errors.append(error)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        if self.errors:
            raise self.errors[0]


def hold(connection: ServerConnection) -> None:
    """Keep the connection until the client closes it."""
    while True:
        connection.recv()


class Session:
    """The venue's side of one connection."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.requests: list[str] = []
        self.arrivals_s: list[float] = []
        """When each request came, by the monotonic clock."""
        self.subscribed: set[tuple[str, str]] = set()
        """Channels and the venue's names of symbols."""

    def send(self, message: object) -> None:
        """Text as it is, anything else as JSON."""
        self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def cut(self) -> None:
        """End the connection without a close frame."""
        self.connection.socket.shutdown(2)


Act = Callable[[Session], None]


class LocalVenue(VenueServer):
    """Performs ``acts[n]`` on the n-th connection when the client has subscribed to everything that it wants.

    Args:
        listed: The venue's names of the symbols it knows.
        wanted: Of these, the ones whose subscription the act waits for.
    """

    channels: tuple[str, ...]
    """What a client of ours subscribes to, for each symbol."""

    def __init__(self, *acts: Act, listed: Iterable[str], refusals: Sequence[Response] = ()) -> None:
        self.listed = set(listed)
        self.sessions: list[Session] = []
        self._acts = list(acts)
        super().__init__([self._serve] * max(64, len(acts)), refusals)

    def greet(self, session: Session) -> None:
        """What the venue says first of all."""

    def answer(self, session: Session, text: str) -> None:
        """Answer a request by the venue's rules."""
        raise NotImplementedError

    def key_of(self, message: Any) -> tuple[str, str] | None:
        """Channel and symbol of a recorded message that the venue sends to its subscribers; None for any other."""
        raise NotImplementedError

    def play(self, session: Session, lines: Iterable[str]) -> None:
        """Send the recorded messages that the client has subscribed to, text exactly as recorded."""
        for line in lines:
            key = self.key_of(json.loads(line))
            if key is not None and key in session.subscribed:
                session.connection.send(line)

    def _serve(self, connection: ServerConnection) -> None:
        session = Session(connection, len(self.sessions))
        self.sessions.append(session)
        self.greet(session)
        wanted = {(channel, symbol) for channel in self.channels for symbol in self.listed}
        has_acted = False
        for message in connection:
            assert isinstance(message, str), "all these venues want text"
            session.requests.append(message)
            session.arrivals_s.append(time.monotonic())
            self.answer(session, message)
            if not has_acted and wanted <= session.subscribed:
                has_acted = True
                if session.number < len(self._acts):
                    self._acts[session.number](session)
