"""The live connection: connect, subscribe, read, and connect again whenever that ends, until told to stop.

The lines of all messages that arrived together are written together: reading does not let the event loop run while more
messages are there, so a write that was scheduled for the loop's next turn happens exactly when they are used up.

Needs the ``websockets`` library, which is imported only here. It answers the venue's pings, and its own pings find out
whether a quiet connection still lives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .backoff import Backoff
from .exits import MisconfiguredError
from .lines import LineWriter, OutputClosedError
from .mapper import Endpoint, Feed
from .pipeline import Pipeline
from .stopping import Stopped, StopSignals

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["run_live"]

_OPEN_TIMEOUT_S: Final = 10.0
_PING_S: Final = 20.0
_CLOSE_TIMEOUT_S: Final = 1.0
"""Short: at SIGTERM the whole program has five seconds, and a venue that does not answer is not worth them."""
_QUEUED_MESSAGES: Final = 1024
"""So many are read ahead of the mapper before the socket is left alone: a burst of one second."""
_STABLE_S: Final = 10.0
"""A connection that lived so long and brought ticks was a good one: the back-off begins anew."""


def run_live(feed: Feed, writer: LineWriter, stop: StopSignals, backoff: Backoff | None = None) -> None:
    """Stream until a signal comes. Blocks.

    Raises:
        MisconfiguredError: The websockets library is missing, or the URL is none.
        OutputClosedError: Nobody reads our lines any more.
        Stopped: A signal asked us to leave. The venue's socket is closed.
    """
    try:
        import websockets.asyncio.client  # noqa: F401 - replays must run without it
    except ImportError as error:
        raise MisconfiguredError(
            f"live data need the websockets library ({error}): pip install 'finstream[ingestors]'"
        ) from error
    asyncio.run(_until_stopped(Live(feed, writer, backoff or Backoff()), stop))


async def _until_stopped(live: Live, stop: StopSignals) -> None:
    task = asyncio.create_task(live.run())
    loop = asyncio.get_running_loop()
    live.on_output_closed = task.cancel
    with stop.cancelling(lambda: loop.call_soon_threadsafe(task.cancel)):
        try:
            await task
        except asyncio.CancelledError:
            raise (OutputClosedError if live.is_output_closed else Stopped) from None


class _ConnectionEndedError(Exception):
    """Why it ended, in words. ``retry_after_s`` is what the venue asked for."""

    def __init__(self, reason: str, *, is_planned: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.is_planned = is_planned
        self.retry_after_s = retry_after_s


class Live:
    """One feed over a succession of connections."""

    def __init__(self, feed: Feed, writer: LineWriter, backoff: Backoff) -> None:
        self._endpoint = feed.endpoint
        self._pipeline = Pipeline(feed.mapper, writer)
        self._writer = writer
        self._backoff = backoff
        self._is_flush_due = False
        self.is_output_closed = False
        self.on_output_closed: Callable[[], object] = lambda: None
        """Called from the event loop when a write found nobody reading, or was interrupted by a signal."""

    async def run(self) -> None:
        while True:
            tally = self._pipeline.tally
            ticks_before, opened_s = tally.trades + tally.quotes, time.monotonic()
            try:
                await self._connect_once()
            except _ConnectionEndedError as end:
                if time.monotonic() - opened_s >= _STABLE_S and tally.trades + tally.quotes > ticks_before:
                    self._backoff.succeeded()
                delay_s = max(self._backoff.next_delay_s(is_planned=end.is_planned), end.retry_after_s)
                self._writer.status("reconnecting", f"{end}; next attempt in {delay_s:.1f} s; so far {tally.summary()}")
                await asyncio.sleep(delay_s)

    async def _connect_once(self) -> None:
        """One connection from its opening to its end. Always raises: _ConnectionEndedError says why."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import (
            ConnectionClosed,
            InvalidHandshake,
            InvalidStatus,
            InvalidURI,
        )

        endpoint = self._endpoint
        self._writer.status("connecting", endpoint.url)
        try:
            async with connect(
                endpoint.url,
                compression=None,  # venues' messages are small: deflate costs latency and saves little
                open_timeout=_OPEN_TIMEOUT_S,
                ping_interval=_PING_S,
                ping_timeout=_PING_S,
                close_timeout=_CLOSE_TIMEOUT_S,
                max_size=endpoint.max_message_bytes,
                max_queue=_QUEUED_MESSAGES,
            ) as socket:
                self._pipeline.start_connection()
                self._writer.status("connected", endpoint.url)
                await self._converse(socket)
        except InvalidURI as error:
            raise MisconfiguredError(f"--url {endpoint.url}: not a WebSocket address: {error}") from error
        except ConnectionClosed as error:
            raise _ConnectionEndedError(f"closed: {error}") from error
        except InvalidStatus as error:
            response = error.response
            detail = f"the venue refuses the connection with HTTP {response.status_code}"
            retry_after_s = _retry_after_s(response.headers.get("Retry-After"))
            raise _ConnectionEndedError(detail, retry_after_s=retry_after_s) from error
        except (OSError, InvalidHandshake) as error:  # TimeoutError of the opening is an OSError too
            raise _ConnectionEndedError(f"cannot connect: {error or type(error).__name__}") from error

    async def _converse(self, socket: ClientConnection) -> None:
        requests = asyncio.create_task(_send_requests(socket, self._endpoint))
        try:
            await self._read(socket)
        finally:
            requests.cancel()
            await asyncio.wait([requests])
            await socket.close()  # in form, also when we are told to leave

    async def _read(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        idle_s = self._endpoint.idle_s
        fresh_until_s = 0.0
        try:
            async with asyncio.timeout(idle_s) as deadline:
                while True:
                    message = await socket.recv(decode=False)
                    order = self._pipeline.take(message, time.time_ns())
                    if order is not None:
                        raise _ConnectionEndedError(order.reason, is_planned=True)
                    if self._writer.has_pending and not self._is_flush_due:
                        self._is_flush_due = True
                        loop.call_soon(self._flush)
                    now_s = loop.time()
                    if now_s >= fresh_until_s:  # not for each message: moving a timer costs more than mapping one
                        fresh_until_s = now_s + idle_s / 20
                        deadline.reschedule(now_s + idle_s + idle_s / 20)
        except TimeoutError:
            raise _ConnectionEndedError(f"silent for {idle_s:g} s") from None

    def _flush(self) -> None:
        self._is_flush_due = False
        try:
            self._writer.flush()
        except OutputClosedError:
            self.is_output_closed = True
            self.on_output_closed()
        except Stopped:  # a signal came while the pipe was full; from here it would not reach our caller
            self.on_output_closed()


async def _send_requests(socket: ClientConnection, endpoint: Endpoint) -> None:
    from websockets.exceptions import ConnectionClosed

    for number, request in enumerate(endpoint.requests):
        if number:
            await asyncio.sleep(endpoint.request_spacing_s)
        try:
            await socket.send(request)
        except ConnectionClosed:
            return  # the reader learns of it too and says why


def _retry_after_s(value: str | None) -> float:
    """The header as seconds; its other form, a date, is not used by venues and counts as absent."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else 0.0
