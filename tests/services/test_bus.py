from __future__ import annotations

import trio

from finstream.services.bus import Bus, SubscriberStatistics
from finstream.vocabulary.events import ClientRegistered


def registered(client: str) -> ClientRegistered:
    return ClientRegistered(client=client)


async def test_every_subscriber_gets_every_event_in_order() -> None:
    bus = Bus()
    with bus.subscribe("one") as one, bus.subscribe("two") as two:
        for name in "abc":
            bus.publish(registered(name))
        for channel in (one, two):
            assert [(await channel.receive()).client for _ in range(3)] == ["a", "b", "c"]


async def test_a_subscriber_hears_nothing_from_before_and_after() -> None:
    bus = Bus()
    bus.publish(registered("before"))
    with bus.subscribe("one") as channel:
        bus.publish(registered("during"))
        assert (await channel.receive()).client == "during"
        assert channel.statistics().current_buffer_used == 0
    bus.publish(registered("after"))
    assert bus.statistics().subscribers == []
    assert bus.statistics().published == 3


async def test_leaving_the_context_ends_a_waiting_reader(nursery: trio.Nursery) -> None:
    bus = Bus()
    ended = trio.Event()

    async def read(channel: trio.MemoryReceiveChannel[object]) -> None:
        try:
            async for _event in channel:
                pass
        except trio.ClosedResourceError:
            ended.set()

    with bus.subscribe("one") as channel:
        nursery.start_soon(read, channel)
        await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(1):
        await ended.wait()


async def test_a_full_subscriber_loses_events_alone_and_they_are_counted() -> None:
    bus = Bus()
    with bus.subscribe("slow", capacity=2) as slow, bus.subscribe("quick", capacity=10) as quick:
        for number in range(5):
            bus.publish(registered(str(number)))
        assert bus.statistics().subscribers == [
            SubscriberStatistics(name="slow", delivered=2, dropped=3, queued=2, capacity=2),
            SubscriberStatistics(name="quick", delivered=5, dropped=0, queued=5, capacity=10),
        ]
        assert [(await slow.receive()).client for _ in range(2)] == ["0", "1"]
        bus.publish(registered("5"))
        assert (await slow.receive()).client == "5"
        assert [(await quick.receive()).client for _ in range(6)] == ["0", "1", "2", "3", "4", "5"]


async def test_a_subscriber_that_closed_its_channel_disturbs_nobody() -> None:
    bus = Bus()
    with bus.subscribe("gone") as gone, bus.subscribe("there") as there:
        gone.close()
        bus.publish(registered("a"))
        assert (await there.receive()).client == "a"


async def test_publishing_is_no_checkpoint_and_needs_no_reader() -> None:
    bus = Bus()
    with bus.subscribe("asleep", capacity=0), trio.testing.assert_no_checkpoints():
        bus.publish(registered("a"))
    assert bus.statistics().published == 1
