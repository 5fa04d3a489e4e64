"""From the texts of frames to what the caller gets: typed or raw messages, and before them the losses that they show.
No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from finstream_client._sequence import SequenceCheck
from finstream_client._topics import Topics
from finstream_client.errors import ProtocolViolation
from finstream_client.messages import (
    Choices,
    Data,
    Error,
    Gap,
    Goodbye,
    Message,
    Subscribed,
    Switch,
    Tick,
    Unsubscribed,
    Welcome,
    decode,
    decode_header,
)
from finstream_client.notices import Notice

__all__ = ["Inbox", "Item"]

Item: TypeAlias = Message | Notice


class Inbox:
    """``on_welcome`` is called with each welcome, which it puts into ``items`` itself; ``send`` with requests that what
    came makes necessary."""

    def __init__(self, topics: Topics, on_welcome: Callable[[Welcome], None], send: Callable[[bytes], None]) -> None:
        self.raw = False
        """Hand out data messages as bytes, without reading more of them than their number."""
        self.items: list[Item | bytes] = []
        self.goodbye: Goodbye | None = None
        self.check = SequenceCheck()
        self._topics = topics
        self._on_welcome = on_welcome
        self._send = send

    def put(self, texts: Sequence[bytes]) -> None:
        """Raises ProtocolViolation if one is no message."""
        if self.raw:
            self._put_raw(texts)
        else:
            self._put_typed(texts)

    def _put_typed(self, texts: Sequence[bytes]) -> None:
        items, last = self.items, self.check.last
        for text in texts:
            message = decode(text)
            if isinstance(message, Tick | Data | Switch):
                before = last.get(message.asset)
                if before is not None:
                    if message.seq == before + 1:
                        last[message.asset] = message.seq
                    else:
                        items.extend(self.check.missing(message.asset, message.seq))
                items.append(message)
            else:
                self._put_control(message)

    def _put_raw(self, texts: Sequence[bytes]) -> None:
        items, last = self.items, self.check.last
        for text in texts:
            try:
                header = decode_header(text)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ProtocolViolation(f"not a message of the stream protocol: {error}") from None
            seq = header.seq
            if seq is None:
                self._put_control(decode(text))
                continue
            before = last.get(header.asset)
            if before is not None:
                if seq == before + 1:
                    last[header.asset] = seq
                else:
                    items.extend(self.check.missing(header.asset, seq))
            items.append(text)

    def _put_control(self, message: Message) -> None:
        if isinstance(message, Welcome):
            self._on_welcome(message)
            return
        self.items.append(message)
        match message:
            case Subscribed():
                self._answered(message)
                self.check.add(message.topics, Choices(message.policy, message.trades, message.max_rate))
            case Unsubscribed():
                self.check.drop(message.topics)
            case Error():
                self._answered(message)
            case Gap():
                self.check.told(message)
            case Goodbye():
                self.goodbye = message
            case _:
                pass

    def _answered(self, answer: Subscribed | Error) -> None:
        for request in self._topics.answered(answer):
            self._send(request)
