"""The examples in docs/stream-protocol.md and docs/rest-api.md are what the engine really reads and writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from finstream.servers.public import ArenaView, AssetDetail
from finstream.services.session import ClientView
from finstream.vocabulary.commands import StreamMessage, StreamRequest, SubscriptionRequest, Topics
from finstream.vocabulary.events import Receipt

DOCS = Path(__file__).parents[2] / "docs"
STREAM, REST = (DOCS / "stream-protocol.md").read_text(), (DOCS / "rest-api.md").read_text()


def blocks(page: str) -> list[str]:
    return re.findall(r"^```json\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def inline(page: str) -> list[str]:
    return [text for text in re.findall(r"`({\"[^`]*})`", page) if "…" not in text]


@pytest.mark.parametrize("text", [*blocks(STREAM), *blocks(REST), *inline(STREAM), *inline(REST)])
def test_all_are_json(text: str) -> None:
    assert isinstance(json.loads(text), dict)


def test_requests_and_control_messages() -> None:
    requests = [text for text in [*inline(STREAM), *blocks(STREAM)] if text.startswith('{"op"')]
    assert len(requests) == 4
    for text in requests:
        msgspec.json.decode(text, type=StreamRequest)
    messages = [text for text in [*inline(STREAM), *blocks(STREAM)] if re.match(r'{"type":"(?!asset|tick|gap|switch|health)', text)]
    assert len(messages) == 4
    for text in messages:
        message = msgspec.json.decode(text, type=StreamMessage)
        assert msgspec.to_builtins(message) == json.loads(text)


def test_bodies() -> None:
    asked, answered = [text for text in blocks(REST) if text.startswith('{"topics"')]
    msgspec.json.decode(asked, type=SubscriptionRequest)
    assert msgspec.to_builtins(msgspec.json.decode(answered, type=Topics)) == json.loads(answered)


@pytest.mark.parametrize(
    ("page", "beginning", "shape"),
    [
        (STREAM, '{"reason"', Receipt),
        (REST, '{"uuid"', ClientView),
        (REST, '{"name"', AssetDetail),
        (REST, '{"arena"', ArenaView),
    ],
)
def test_views(page: str, beginning: str, shape: type[msgspec.Struct]) -> None:
    (text,) = [block for block in blocks(page) if block.startswith(beginning)]
    assert msgspec.to_builtins(msgspec.json.decode(text, type=shape)) == json.loads(text)
