"""What happens in the middle of a turn, between two sources of one batch."""

from __future__ import annotations

import time

from rig import Rig, Subscriber, balanced, numbered, running, tick, until

SOURCES = 40
OUTBOXES = 16
"""As many as the pump's tables have room for before they grow."""
ROUNDS = 60


async def test_outboxes_that_are_served_between_two_sources_of_a_turn_get_all_of_both() -> None:
    """Each push sends what its outbox has of the batch so far; the sources that follow give it more."""
    async with running() as rig:
        feeds = [rig.feed(f"feed-{number}") for number in range(SOURCES)]
        subscribers = [rig.subscriber(*((feed.asset, None) for feed in feeds)) for _ in range(OUTBOXES)]
        said = 0
        for number in range(1, ROUNDS + 1):
            for feed in feeds:
                await feed.write(tick(number))
                assert rig.pump.push(subscribers[said % OUTBOXES].handle, b"\x81\x02{}")
                said += 1
        await all_was_read(rig, ROUNDS * SOURCES)
        for subscriber in subscribers:
            messages = [message for message in await all_messages(subscriber) if message != b"{}"]
            assert sorted(numbered(messages)) == sorted(SOURCES * list(range(1, ROUNDS + 1)))
            assert balanced(subscriber.statistics)


async def all_was_read(rig: Rig, lines: int) -> None:
    await until(lambda: rig.pump.statistics().lines == lines)


async def all_messages(subscriber: Subscriber) -> list[bytes]:
    """Once nothing waits in the pump any more."""
    deadline = time.monotonic() + 10
    messages: list[bytes] = []
    while time.monotonic() < deadline:
        waits = subscriber.statistics.queued_messages
        subscriber.read_now()
        messages += subscriber.take()
        if not waits and not subscriber.read_now():
            break
    return messages
