"""Outboxes that are given up: too many bytes, too old, or gone; each with a receipt."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from rig import LITTLE, Rig, balanced, numbered, resting, split_frames, tick, until

from finstream.pump import Framing, OutboxClosed


async def test_killed_by_bytes_with_a_receipt(rig: Rig) -> None:
    feed = rig.feed()
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_bytes=50_000)
    healthy = rig.subscriber((feed.asset, None))
    count, waited = 0, False
    while not slow.closed:
        count += 1
        await feed.write_and_wait(tick(count, pad=1000))
        assert numbered(await healthy.messages(1)) == [count]
        if slow.statistics.queued_bytes and not waited:
            await trio.sleep(0.02)  # what waits is not young any more
            waited = True
        await trio.lowlevel.checkpoint()
        assert count < 1000
    closed = await slow.closing()
    assert (closed.outbox, closed.reason, closed.errno) == (slow.handle, "slow_consumer_bytes", 0)
    assert 50_000 < closed.queued_bytes < 53_000
    final = closed.statistics
    assert balanced(final)
    assert (final.queued_messages, final.queued_bytes) == (0, 0)
    assert final.killed > 40
    assert final.delivered == final.last_seq
    assert final.last_asset == feed.asset
    assert slow.pump.outbox_statistics(slow.handle) == final
    await feed.write(tick(count + 1))
    await healthy.messages(1)
    assert slow.remove() == final  # nothing was published to it any more
    await slow.read_to_the_end()
    received, rest = split_frames(slow.received)
    assert numbered(received) == list(range(1, final.delivered + 1))
    assert len(rest) < 1200  # at most the beginning of the next
    assert sum(len(message) for message in received) + 4 * len(received) + len(rest) == final.sent_bytes
    assert healthy.statistics.killed == 0


async def test_a_burst_is_held_against_nobody(rig: Rig) -> None:
    """More than the bound in one turn, to somebody who reads as soon as we let it."""
    feed = rig.feed()
    fcntl.fcntl(feed.read_fd, fcntl.F_SETPIPE_SZ, 1 << 20)
    survived = 0
    for _ in range(20):
        reader = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_bytes=50_000)
        await feed.write_and_wait(tick(1, pad=1000) * 100)
        over = not reader.closed and reader.statistics.queued_bytes > 50_000
        while reader.statistics.queued_bytes and reader.read_now():
            pass
        await trio.sleep(0.05)
        survived += over and not reader.closed and balanced(reader.statistics) and reader.statistics.killed == 0
        reader.close()
    assert survived  # this machine may be slow, but not always


async def test_four_times_the_bound_is_too_much_at_once(rig: Rig) -> None:
    feed = rig.feed()
    fcntl.fcntl(feed.read_fd, fcntl.F_SETPIPE_SZ, 1 << 20)
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_bytes=10_000)
    await feed.write(tick(1, pad=1000) * 100)
    closed = await slow.closing()
    assert closed.reason == "slow_consumer_bytes"
    assert closed.oldest_ms < 10
    assert balanced(closed.statistics)


async def test_exactly_the_bound_is_no_offence(rig: Rig) -> None:
    """Two outboxes whose sockets take equally much; what waits is as long as the bound, and one byte longer."""
    exact = rig.subscriber(buffer_bytes=LITTLE, max_bytes=10_000)
    strict = rig.subscriber(buffer_bytes=LITTLE, max_bytes=9_999)
    for subscriber in (exact, strict):
        while not subscriber.statistics.queued_bytes:
            rig.pump.push(subscriber.handle, b"x" * 1000)
    waiting = exact.statistics.queued_bytes
    assert waiting == strict.statistics.queued_bytes
    for subscriber in (exact, strict):
        rig.pump.push(subscriber.handle, b"x" * (10_000 - waiting))
    assert (await strict.closing()).queued_bytes == 10_000
    assert exact.statistics.queued_bytes == 10_000
    assert exact.closed == []


async def test_killed_by_age_with_a_receipt(rig: Rig) -> None:
    feed = rig.feed()
    slow = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_age_ms=60)
    healthy = rig.subscriber((feed.asset, None), max_age_ms=60)
    started = trio.current_time()
    await feed.write(b"".join(tick(number, pad=700) for number in range(1, 101)))
    closed = await slow.closing()  # although nothing more happens
    assert trio.current_time() - started >= 0.06
    assert (closed.outbox, closed.reason, closed.errno) == (slow.handle, "slow_consumer_age", 0)
    assert 60 <= closed.oldest_ms < 5000
    assert closed.queued_bytes > 0
    assert balanced(closed.statistics)
    assert closed.statistics.killed > 0
    assert closed.statistics.delivered == closed.statistics.last_seq
    assert await healthy.messages(100)
    assert healthy.closed == []


async def test_who_keeps_reading_is_not_too_old(rig: Rig) -> None:
    """The bound is on how long a byte waits, not on how long something waits."""
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE, max_age_ms=1000)
    numbers: list[int] = []
    number = 0
    deadline = trio.current_time() + 1.3
    while trio.current_time() < deadline:
        while subscriber.statistics.queued_bytes < 20_000:
            number += 1
            await feed.write_and_wait(tick(number, pad=500))
        subscriber.read_now(5000)
        numbers += numbered(subscriber.take())
        assert subscriber.statistics.oldest_ms < 1000
        await trio.sleep(0.01)
    assert subscriber.closed == []
    numbers += numbered(await subscriber.messages(number - len(numbers)))
    assert numbers == list(range(1, number + 1))


@pytest.mark.parametrize("busy", [False, True])
async def test_a_peer_that_left(rig: Rig, busy: bool) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    other = rig.subscriber((feed.asset, None))
    if busy:
        await feed.write_and_wait(b"".join(tick(number, pad=700) for number in range(1, 101)))
        assert subscriber.statistics.queued_messages
    subscriber.socket.close()
    if not busy:
        await feed.write(tick(1))
    closed = await subscriber.closing()
    assert closed.reason == "connection_lost"
    assert closed.errno in (errno.EPIPE, errno.ECONNRESET)
    assert balanced(closed.statistics)
    assert closed.statistics.killed > 0
    await other.messages(100 if busy else 1)


async def test_outboxes_on_tcp(rig: Rig) -> None:
    """Sockets as the engine has them: reset by the peer in the middle of a stream."""
    feed = rig.feed()
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        served, _ = server.accept()
    with served:
        closed: list[OutboxClosed] = []
        outbox = rig.pump.add_outbox(served.fileno(), closed.append)
        assert rig.pump.subscribe(outbox, feed.asset)
        await feed.write(tick(1))
        client.settimeout(10)
        received = client.recv(4096)
        assert numbered(split_frames(received)[0]) == [1]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.close()
        for number in range(2, 50):
            await feed.write_and_wait(tick(number))
        await until(lambda: closed)
        assert closed[0].reason == "connection_lost"
        assert closed[0].errno in (errno.ECONNRESET, errno.EPIPE)
        assert balanced(closed[0].statistics)
        rig.pump.remove_outbox(outbox)


OUT_BYTES = 1 << 19


def capacity() -> int:
    """What a socket takes, in large pieces, while nobody reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        taken = 0
        try:
            while True:
                taken += theirs.send(b"x" * 100_000)
        except BlockingIOError:
            return taken


@pytest.mark.parametrize("framing", list(Framing))
async def test_a_batch_beyond_the_bound_is_no_offence_of_who_has_read(framing: Framing) -> None:
    """Before a consumer is given up it is asked once more: much can be written in one batch, and it has made room since."""
    room = capacity()
    async with resting() as rig:
        feeds = [rig.feed(f"feed-{number}") for number in range(12)]
        topics = [(feed.asset, None) for feed in feeds]
        # The batch is sent early at 512 KiB, more than may wait; what comes after that does not exceed the bound again.
        count = (OUT_BYTES + room // 4) // (len(feeds) * 1160)
        bound = OUT_BYTES - room // 4
        subscriber = rig.subscriber(*topics, framing=framing, max_bytes=bound)
        filling = b'{"price":0,"pad":"' + b"x" * 900 + b'"}'
        filling = b"\x81\x7e" + len(filling).to_bytes(2, "big") + filling if framing is Framing.WEBSOCKET else filling + b"\n"
        controls = 0
        for feed in feeds:
            await feed.write(b"".join(tick(number, pad=1000) for number in range(1, count + 1)))
        while not subscriber.statistics.queued_bytes:
            assert rig.pump.push(subscriber.handle, filling)
            controls += 1
        while subscriber.read_now():
            await trio.lowlevel.checkpoint()
        await rig.start()
        await until(lambda: subscriber.closed or subscriber.statistics.published == len(feeds) * count)
        assert subscriber.closed == []
        assert rig.pump.statistics().batches <= 2  # else this was no burst
        messages = await subscriber.messages(controls + len(feeds) * count)
        assert sorted(numbered(messages[controls:])) == sorted(list(range(1, count + 1)) * 12)
        assert balanced(subscriber.statistics)


@pytest.mark.parametrize("chunks", [(60, 5_000), (1, 500_000)])
async def test_a_process_that_was_stopped_does_not_blame_its_consumers(chunks: tuple[int, int]) -> None:
    """What waits has become old, but only because we were away: the consumer has read all that there was."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            arguments = [str(theirs.fileno()), "200", *map(str, chunks)]
            script = Path(__file__).with_name("stopped.py")
            process = await trio.lowlevel.open_process(
                [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]
            )
        assert process.stdout is not None
        said = process.stdout

        async def line() -> bytes:
            heard = b""
            while not heard.endswith(b"\n"):
                part = await said.receive_some(1)
                assert part, "it has ended"
                heard += part
            return heard

        try:
            with trio.fail_after(30):
                await trio.to_thread.run_sync(os.waitid, os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
                waiting = int(await line())
                assert waiting > 50_000
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
                received = 0
                while received < chunks[0] * chunks[1] - waiting:
                    received += len(await stream.receive_some())
                await trio.sleep(0.3)  # longer than anything may wait
                process.send_signal(signal.SIGCONT)
                assert await line() == b"again\n"  # before that, nothing more is read
                while part := await stream.receive_some():
                    received += len(part)
                assert await line() == b"alive\n"
                assert received == chunks[0] * chunks[1]
        finally:
            process.kill()
            await process.wait()


async def test_a_receipt_names_the_last_message_also_after_a_batch_that_was_sent_early() -> None:
    """A batch is sent early when a message does not fit any more; that message is none of those before it."""
    async with resting() as rig:
        feed = rig.feed("x" * 64)
        fcntl.fcntl(feed.pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
        subscriber = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
        small = 2000
        await feed.write(b'{"symbol":"A","price":1,"ts":1}\n' * small + tick(2, pad=60_000))  # read at once
        await rig.start()
        await until(lambda: subscriber.statistics.published == small + 1)
        assert rig.pump.asset_statistics(feed.asset).reads == 1
        while (now := subscriber.statistics).delivered < small:
            assert now.last_seq in (now.delivered, None)
            subscriber.read_now(500)
            await trio.lowlevel.checkpoint()
        assert (now.delivered, now.last_seq, now.queued_messages) == (small, small, 1)
        final = subscriber.remove()
        assert final is not None
        assert (final.delivered, final.killed, final.last_seq) == (small, 1, small)
        await subscriber.read_to_the_end()
        received, _ = split_frames(subscriber.received)
        assert json.loads(received[-1])["seq"] == small
