"""The system bus: facts about the engine, told to whoever listens.

A publisher never waits for a subscriber, and never fails because of one. A subscriber that falls behind by more than
its capacity misses events; they are counted, per subscriber, so that it can say so. Ticks never travel here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import trio

from finstream.vocabulary.events import Event

__all__ = ["Bus", "BusStatistics", "SubscriberStatistics"]


class SubscriberStatistics(msgspec.Struct, frozen=True):
    name: str
    delivered: int
    """Events put into its channel."""
    dropped: int
    """Events that found the channel full."""
    queued: int
    """Events that wait in the channel now."""
    capacity: int


class BusStatistics(msgspec.Struct, frozen=True):
    published: int
    dropped: int
    """Of all subscribers together, those included that are gone."""
    subscribers: list[SubscriberStatistics]


class _Subscriber:
    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.channel: trio.MemorySendChannel[Event]
        self.channel, self.receiver = trio.open_memory_channel[Event](capacity)
        self.delivered = 0
        self.dropped = 0

    def tell(self, event: Event) -> None:
        try:
            self.channel.send_nowait(event)
        except trio.WouldBlock:
            self.dropped += 1
        except trio.BrokenResourceError:
            pass  # it closed its end and is about to leave
        else:
            self.delivered += 1

    def statistics(self) -> SubscriberStatistics:
        state = self.channel.statistics()
        return SubscriberStatistics(
            self.name, self.delivered, self.dropped, state.current_buffer_used, int(state.max_buffer_size)
        )


class Bus:
    """Use it from the Trio thread only."""

    def __init__(self) -> None:
        self._subscribers: list[_Subscriber] = []
        self._published = 0
        self._dropped_before = 0

    def publish(self, event: Event) -> None:
        """Tell every subscriber. Never blocks, never raises, is not a checkpoint."""
        self._published += 1
        for subscriber in self._subscribers:
            subscriber.tell(event)

    @contextmanager
    def subscribe(self, name: str, capacity: int = 256) -> Iterator[trio.MemoryReceiveChannel[Event]]:
        """Receive every event published from now on, in order, except those that found ``capacity`` events waiting.

        ``name`` says in the statistics who this is; it need not be unique. Leaving the context closes the channel.
        """
        subscriber = _Subscriber(name, capacity)
        self._subscribers.append(subscriber)
        try:
            with subscriber.channel, subscriber.receiver:
                yield subscriber.receiver
        finally:
            self._subscribers.remove(subscriber)
            self._dropped_before += subscriber.dropped

    def statistics(self) -> BusStatistics:
        subscribers = [subscriber.statistics() for subscriber in self._subscribers]
        dropped = self._dropped_before + sum(subscriber.dropped for subscriber in subscribers)
        return BusStatistics(self._published, dropped, subscribers)
