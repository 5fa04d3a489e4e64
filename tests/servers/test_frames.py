"""Our frames, read back by wsproto as a client reads them."""

from __future__ import annotations

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage

from finstream.servers.frames import PING, close_frame, text_frame


def client() -> Connection:
    return Connection(ConnectionType.CLIENT)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_text(length: int) -> None:
    reader = client()
    reader.receive_data(text_frame(b"x" * length) + text_frame(b"next"))
    texts = [""]
    for event in reader.events():
        assert isinstance(event, TextMessage)
        texts[-1] += event.data
        if event.message_finished:
            texts.append("")
    assert texts == ["x" * length, "next", ""]


def test_ping() -> None:
    reader = client()
    reader.receive_data(PING)
    assert [type(event) for event in reader.events()] == [Ping]


@pytest.mark.parametrize("reason", ["", "slow_consumer_bytes", "x" * 200, "é" * 100, "€" * 100])
def test_close(reason: str) -> None:
    reader = client()
    reader.receive_data(close_frame(4003, reason))
    (event,) = reader.events()
    assert isinstance(event, CloseConnection)
    assert event.code == 4003
    told = event.reason or ""
    assert reason.startswith(told)
    assert min(len(reason.encode()), 123) - 3 <= len(told.encode()) <= 123
