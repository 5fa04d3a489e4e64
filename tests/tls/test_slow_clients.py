"""Clients with TLS that do not keep up: bounds, receipts and accounts are those of everybody. What is sealed is delivered."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from rig import Feed, balanced, split_frames, tick

from finstream.vocabulary.policies import Policy

GOODBYE = b"\x81\x07goodbye"
SEALED_AT_MOST = (1 << 16) + (1 << 13)
"""Bytes that may wait although they count as delivered; see _sealing.pxd."""


@asynccontextmanager
async def slow_rig(open_rig: Any, **settings: Any) -> AsyncIterator[tuple[Any, Feed]]:
    """The kernel keeps as little as it can for each client. With a feed."""
    async with open_rig(**settings) as rig:
        rig.send_buffer = 4096
        feed = Feed(rig.pump, rig.pump.add_asset("feed"))
        yield rig, feed
        feed.remove()
        await feed.pipe.aclose()


async def slow_pair(rig: Any) -> tuple[Any, Any]:
    return await rig.pair(await rig.raw(receive_buffer=4096))


async def all_of(stream: Any) -> bytes:
    taken = bytearray()
    while data := await stream.receive_some(65536):
        taken += data
    return bytes(taken)


def seqs(messages: list[bytes]) -> list[int]:
    return [message["seq"] for message in map(json.loads, messages) if "seq" in message]


@pytest.mark.parametrize("settings", [{"max_bytes": 200_000}, {"max_age_ms": 100}], ids=["bytes", "age"])
@pytest.mark.parametrize("pad", [0, 1000, 50_000])
async def test_who_does_not_read_is_let_go_with_a_receipt(open_rig: Any, until: Any, settings: Any, pad: int) -> None:
    reason = "slow_consumer_bytes" if "max_bytes" in settings else "slow_consumer_age"
    async with slow_rig(open_rig, leaving_s=10, **settings) as (rig, feed):
        client, inside = await slow_pair(rig)
        inside.subscribe(feed.asset)
        published = 0
        while not inside.closed:
            published += 1
            await feed.write_and_wait(tick(published, pad=pad))
            assert balanced(inside.statistics)
            if published * (200 + pad) > 400_000:
                await trio.sleep(0.002)
            await trio.lowlevel.checkpoint()
        receipt = inside.closed
        assert receipt.reason == reason
        assert balanced(receipt.statistics)
        # Everything that was sealed is delivered, and of the rest only a message that was begun.
        assert receipt.statistics.queued_messages <= 1
        assert receipt.statistics.queued_bytes <= SEALED_AT_MOST + 300 + pad
        assert receipt.statistics.killed > 0
        assert inside.push(GOODBYE, final=True)
        heard = await all_of(client)
        assert heard.endswith(GOODBYE)
        messages, rest = split_frames(heard[: -len(GOODBYE)])
        assert rest == b""
        assert seqs(messages) == list(range(1, len(messages) + 1))
        await client.aclose()
        await until(lambda: rig.pump.outbox_statistics(inside.outbox).queued_bytes == 0)
        final = inside.remove()
        assert balanced(final)
        assert (final.delivered, final.queued_messages) == (len(messages), 0)
        assert final.last_seq == len(messages)


async def test_who_is_cut_off_has_an_account_that_balances(open_rig: Any) -> None:
    async with slow_rig(open_rig) as (rig, feed):
        client, inside = await slow_pair(rig)
        inside.subscribe(feed.asset)
        for number in range(1, 2001):
            await feed.write_and_wait(tick(number, pad=300))
        before = inside.statistics
        assert balanced(before)
        assert before.queued_messages > 500
        assert before.delivered < 1500
        final = inside.remove()
        assert balanced(final)
        assert (final.published, final.queued_messages) == (2000, 0)
        assert 0 < final.queued_bytes <= before.queued_bytes, "what was dropped"
        heard = bytearray()
        with suppress(trio.BrokenResourceError):
            while data := await client.receive_some(65536):
                heard += data
            raise AssertionError("the end is a reset: nobody is to take it for a proper one")
        messages, _rest = split_frames(heard)
        assert seqs(messages) == list(range(1, len(messages) + 1))
        assert len(messages) <= final.delivered


async def test_skip_is_not_let_go_for_what_is_sealed(open_rig: Any, until: Any) -> None:
    """Messages of a subscription that may skip do not count against the bounds; nor do they when they are sealed."""
    async with slow_rig(open_rig, max_bytes=20_000, max_age_ms=100) as (rig, feed):
        client, inside = await slow_pair(rig)
        inside.subscribe(feed.asset, Policy(policy="skip"))
        for number in range(1, 801):
            await feed.write_and_wait(tick(number, pad=500))
        await trio.sleep(0.3)
        assert inside.closed is None
        assert inside.statistics.skipped > 100
        heard = bytearray()

        async def read() -> None:
            while True:
                heard.extend(await client.receive_some(65536))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await until(lambda: inside.statistics.queued_messages == 0)
            await feed.write_and_wait(tick(801))
            await until(lambda: seqs(split_frames(heard)[0])[-1:] == [801])
            nursery.cancel_scope.cancel()
        messages, rest = split_frames(heard)
        final = inside.statistics
        assert (rest, balanced(final), final.delivered) == (b"", True, len(seqs(messages)))
        gaps = [message for message in map(json.loads, messages) if message["type"] == "gap"]
        assert sum(gap["count"] for gap in gaps) == final.skipped == 801 - final.delivered


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_the_accounts_balance(open_rig: Any, until: Any, seed: int) -> None:
    choose = random.Random(seed)
    async with slow_rig(open_rig, max_bytes=choose.choice([30_000, 300_000, 1 << 26])) as (rig, feed):
        clients = [await slow_pair(rig) for _ in range(6)]
        heard = [bytearray() for _ in clients]
        tame = [Policy(policy="skip"), Policy(policy="conflate", trades="conflate"), Policy(max_rate=50)]
        for (_client, inside), policy in zip(clients, [Policy(), Policy(), Policy(), *tame], strict=True):
            inside.subscribe(feed.asset, policy)
        for _turn in range(120):
            lines = [tick(1, choose.choice("ABC"), pad=choose.choice([0, 100, 3000])) for _ in range(choose.choice([1, 10, 60]))]
            await feed.write_and_wait(b"".join(lines))
            for (client, inside), taken in zip(clients, heard, strict=True):
                assert balanced(inside.statistics)
                act = choose.random()
                if act < 0.4:
                    with trio.move_on_after(0.001):
                        taken += await client.receive_some(choose.choice([1, 500, 40_000]))
                elif act < 0.5:
                    inside.push(b'\x81\x0e{"control":1}\n')
        for (client, inside), taken in zip(clients, heard, strict=True):
            rig.pump.unsubscribe(inside.outbox, feed.asset)
            inside.push(GOODBYE, final=True)
            taken += await all_of(client)
            messages, rest = split_frames(taken)
            assert (rest, messages[-1]) == (b"", b"goodbye")
            final = inside.statistics
            assert balanced(final)
            assert final.queued_messages == 0
            assert final.delivered == len([message for message in messages if b'"seq":' in message])
            numbers = seqs([message for message in messages if message[:1] == b"{"])
            assert len(set(numbers)) == len(numbers)
