"""Yahoo's streamer on a local port, as its public clients found it."""

from __future__ import annotations

import json
from typing import Any

from local_venue import LocalVenue, Session

SYMBOLS_PER_CONNECTION = 100


class LocalYahoo(LocalVenue):
    """No acknowledgement and no error: a malformed request closes the connection without a reason, further symbols than a
    hundred are ignored. Of whom a message is stands inside its payload, so who plays says it."""

    channels = ("pricing",)

    def answer(self, session: Session, text: str) -> None:
        try:
            request = json.loads(text)
            names = request["subscribe"]
            assert isinstance(names, list)
            assert all(isinstance(name, str) for name in names)
        except (ValueError, KeyError, TypeError, AssertionError):
            session.connection.close_socket()
            return
        for name in names:
            if len(session.subscribed) < SYMBOLS_PER_CONNECTION:
                session.subscribed.add(("pricing", name))

    def play(self, session: Session, lines: Any) -> None:
        """Pairs of symbol and frame."""
        for name, frame in lines:
            if ("pricing", name) in session.subscribed:
                session.connection.send(frame)

    def key_of(self, message: Any) -> tuple[str, str] | None:
        raise NotImplementedError
