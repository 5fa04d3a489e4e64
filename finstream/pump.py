"""The pump as the control plane sees it: handles in, events and snapshots out.

The two planes meet here and nowhere else. A :class:`Pump` may be used from the Trio thread at any time, whether its own thread
runs or not; each call takes the pump's lock for as long as one batch of ticks needs at most. Handles are integers that are
never used again, so a late call with an old handle does nothing.

Who closes what: the pump never closes a file descriptor that it was given. Take the handle away first (``remove_source``,
``remove_outbox``; they return only once the pump cannot touch the descriptor any more), then close it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any

import trio

from finstream import _fastpath
from finstream.new_york_offsets import NEW_YORK_OFFSETS
from finstream.pump_events import (
    BlockBuffered,
    HalfFull,
    LineRejected,
    MemoryMark,
    Message,
    OutboxClosed,
    PeerClosed,
    PeerEvent,
    PeerFault,
    PeerSilent,
    PumpEvent,
    Requested,
    SourceEnded,
    SourceOverflowed,
    StatusLine,
    Switched,
    read_event,
)
from finstream.pump_snapshots import (
    ArenaEntry,
    AssetStatistics,
    EncryptionStatistics,
    Form,
    Lags,
    OutboxStatistics,
    OutboxTotals,
    PumpStatistics,
    StageTimes,
    SymbolForm,
    SymbolStatistics,
    Tally,
)
from finstream.vocabulary.errors import PumpFailed
from finstream.vocabulary.policies import PLAIN, Policy
from finstream.vocabulary.settings import QualitySettings

__all__ = [
    "CHECKS_OF_QUALITY", "ArenaEntry", "AssetStatistics", "BlockBuffered", "EncryptionStatistics", "Form", "Framing", "HalfFull",
    "Lags", "LineRejected", "MemoryMark", "Message", "OutboxClosed", "OutboxStatistics", "OutboxTotals", "PeerClosed", "PeerEvent",
    "PeerFault", "PeerSilent", "Pump", "PumpEvent", "PumpStatistics", "Requested", "SourceEnded", "SourceOverflowed",
    "StageTimes", "StatusLine", "Switched", "SymbolForm", "SymbolStatistics", "Tally", "Wanted",
]  # fmt: skip

CHECKS_OF_QUALITY = _fastpath.CHECKS_OF_QUALITY
"""The words that they reject with."""

Wanted = tuple[int, str | None, Policy]
"""A topic: an asset's handle, a symbol or None for all of them, and how to serve it."""


class Framing(Enum):
    """How an outbox marks where one message ends."""

    WEBSOCKET = "websocket"
    """One unmasked text frame a message."""
    LINES = "lines"
    """One line a message."""


_FINDINGS = ("ignore", "count", "flag", "drop")  # by the numbers that the native pump knows them by
_POLICIES = ("kill", "skip", "conflate")  # by the numbers that the native pump knows them by
_TURN_S = 0.002
"""Events are told for so long, then other tasks get their turn: one request may take milliseconds, and a client may send many."""


class Pump:
    """See the module's docstring. ``simulated`` marks every message; ``line_bytes`` is the longest line accepted."""

    def __init__(self, *, simulated: bool = False, line_bytes: int = 65536) -> None:
        self._native = _fastpath.NativePump(NEW_YORK_OFFSETS, simulated=simulated, line_bytes=line_bytes)
        self._assets: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._on_source: dict[int, Callable[[SourceEnded | SourceOverflowed | BlockBuffered], None]] = {}
        self._on_outbox: dict[int, Callable[[Any], None]] = {}  # of a connection PeerEvents, else OutboxClosed
        self._on_request: Callable[[Requested], None] = lambda _event: None
        self._on_line: Callable[[LineRejected | StatusLine], None] = lambda _event: None
        self._on_memory: Callable[[MemoryMark], None] = lambda _event: None
        self._on_switch: Callable[[Switched], None] = lambda _event: None
        self._stopping = False
        self.running = False
        """Whether the pump's thread is at work."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the pump's thread and deliver its events until :meth:`stop` is called or this task is cancelled.

        Events are delivered on the Trio thread by plain calls of the callbacks; those must not block and must not raise.

        Raises:
          PumpFailed: the thread ended although nobody asked it to.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_events)
            nursery.start_soon(self._stop_when_cancelled)
            self.running = True
            task_status.started()
            try:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._native.run, limiter=trio.CapacityLimiter(1))
            finally:
                self.running = False
            ended_by_itself = not self._stopping
            nursery.cancel_scope.cancel("the pump has ended")
        self._dispatch_pending()
        if ended_by_itself:
            raise PumpFailed("the pump's thread ended by itself")

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.stop()

    async def _deliver_events(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._native.event_fd)
            until = time.perf_counter() + _TURN_S
            for event in self._take_events():
                self._dispatch(event)
                if time.perf_counter() > until:
                    await trio.lowlevel.checkpoint()
                    until = time.perf_counter() + _TURN_S

    def _dispatch_pending(self) -> None:
        for event in self._take_events():
            self._dispatch(event)

    def _dispatch(self, event: PumpEvent) -> None:
        if isinstance(event, (LineRejected, StatusLine)):
            self._on_line(event)
        elif isinstance(event, Requested):
            self._on_request(event)
        elif isinstance(event, (SourceEnded, SourceOverflowed, BlockBuffered)):
            if told := self._on_source.get(event.source):
                told(event)
        elif isinstance(event, MemoryMark):
            self._on_memory(event)
        elif isinstance(event, Switched):
            self._on_switch(event)
        elif callback := self._on_outbox.get(event.outbox):
            callback(event)
        elif isinstance(event, OutboxClosed):  # a stranger's, who was refused or left before being answered
            self._native.remove_outbox(event.outbox)

    def _take_events(self) -> Iterator[PumpEvent]:
        for told in self._native.take_events()[0]:
            yield read_event(*told)

    def stop(self) -> None:
        """Let the pump's thread end. Outboxes and sources stay as they are."""
        self._stopping = True
        self._native.stop()

    def on_line(self, callback: Callable[[LineRejected | StatusLine], None]) -> None:
        """Who is told of rejected lines and of status lines. One callback for all assets."""
        self._on_line = callback

    def guard(self, soft_bytes: int, hard_bytes: int, crossed: Callable[[MemoryMark], None]) -> None:
        """Bound what all outboxes hold together. Above ``soft_bytes`` the outboxes of the lowest priority are given up until it is
        kept again, among equals those whose oldest byte has waited longest. ``crossed`` is told whenever a mark is crossed."""
        self._on_memory = crossed
        self._native.guard(soft_bytes, hard_bytes)

    def on_switch(self, callback: Callable[[Switched], None]) -> None:
        """Who is told when the best source of a symbol changes, for as long as that topic is subscribed."""
        self._on_switch = callback

    # --- assets ---------------------------------------------------------------------------------------------------------

    def add_asset(
        self, name: str, *, in_arena: bool = True, future_ms: int | None = None, max_age_ms: int | None = None
    ) -> int:
        """Make an asset known, or change the settings of a known one. Its ``seq`` goes on where it was, also after
        :meth:`retire_asset`, for as long as this pump lives."""
        handle = self._native.add_asset(
            name, in_arena, -1 if future_ms is None else future_ms, -1 if max_age_ms is None else max_age_ms
        )
        self._assets[name] = handle
        self._names[handle] = name
        return handle

    def add_best(self, name: str) -> int:
        """Make the asset of the best sources known: subscribed like any other, it brings, for each of its symbols, the ticks of
        whichever racing asset is the best at it."""
        handle = self._native.add_best(name)
        self._assets[name] = handle
        self._names[handle] = name
        return handle

    def check_quality(self, asset: int, checks: QualitySettings) -> None:
        """Have the ticks of an asset checked in this way from now on. What has been counted so far, and what is known of its
        symbols, stays. ``future_ms`` and ``max_age_ms`` are :meth:`add_asset`'s.
        """
        choices = (
            checks.duplicates,
            checks.out_of_order,
            "ignore" if checks.band_pct is None else checks.price_anomalies,
            checks.crossed_quotes,
        )
        self._native.check_quality(
            asset,
            tuple(map(_FINDINGS.index, choices)),
            (checks.band_pct or 0.0) / 100,
            checks.band_confirmations,
            1 << (checks.duplicate_window - 1).bit_length(),
        )

    def retire_asset(self, asset: int) -> None:
        """Take an asset out of the arena. Its subscriptions stay, silent, for the case that it comes back."""
        self._native.retire_asset(asset)

    def asset_name(self, asset: int) -> str:
        return self._names[asset]

    def asset_handle(self, name: str) -> int | None:
        return self._assets.get(name)

    # --- sources --------------------------------------------------------------------------------------------------------

    def add_source(
        self,
        asset: int,
        fd: int,
        told: Callable[[SourceEnded | SourceOverflowed | BlockBuffered], None],
        *,
        full_s: float | None = None,
    ) -> int:
        """Read lines from ``fd`` (a pipe, pty or socket; made non-blocking) and publish them under ``asset``."""
        source = self._native.add_source(asset, fd, -1 if full_s is None else max(1, int(full_s * 1000)))
        self._on_source[source] = told
        return source

    def remove_source(self, source: int) -> None:
        """Stop reading. What is still in the pipe stays there. After an unknown handle nothing happens."""
        self._on_source.pop(source, None)
        self._native.remove_source(source)

    # --- outboxes -------------------------------------------------------------------------------------------------------

    def add_outbox(
        self,
        fd: int,
        told: Callable[[OutboxClosed | HalfFull], None],
        *,
        framing: Framing = Framing.WEBSOCKET,
        max_bytes: int = 1 << 20,
        max_age_ms: int = 5000,
    ) -> int:
        """Give the pump the writing side of a connected stream socket (made non-blocking)."""
        outbox = self._native.add_outbox(fd, framing is Framing.LINES, max_bytes, max_age_ms)
        self._on_outbox[outbox] = told
        return outbox

    def remove_outbox(self, outbox: int) -> OutboxStatistics | None:
        """Take an outbox and its subscriptions away, dropping what waits in it (counted as killed).

        Returns its final statistics, or None for a handle that is gone already. ``queued_bytes`` and ``oldest_ms`` are those
        of what was dropped.
        """
        self._on_outbox.pop(outbox, None)
        values = self._native.remove_outbox(outbox)
        return None if values is None else OutboxStatistics(*values)

    def listen(
        self,
        fd: int | None,
        asked: Callable[[Requested], None],
        *,
        most_connections: int,
        handshake_s: float = 10.0,
        ping_after_s: float = 20.0,
        silence_s: float = 60.0,
        leaving_s: float = 2.0,
        max_bytes: int = 1 << 20,
        max_age_ms: int = 5000,
    ) -> None:
        """Accept connections from a listening socket (non-blocking), and read them as WebSocket servers do.

        Without one (None) there are only those that are given to :meth:`adopt`.

        ``asked`` decides about each request, by :meth:`welcome` or :meth:`refuse`, at once or later, but within ``handshake_s`` of
        the connection. Beyond ``most_connections`` nobody is accepted. Clients are pinged after ``ping_after_s`` of silence, and
        reported after ``silence_s``. ``leaving_s`` is how long the last words may take to arrive and the client to close.
        """
        self._on_request = asked
        self._native.serve(
            -1 if fd is None else fd,
            most_connections,
            handshake_ms=int(handshake_s * 1000),
            ping_ms=int(ping_after_s * 1000),
            silence_ms=int(silence_s * 1000),
            leaving_ms=int(leaving_s * 1000),
            max_bytes=max_bytes,
            max_age_ms=max_age_ms,
        )

    def stop_listening(self) -> None:
        """Accept nobody any more; the listener is the caller's again. Connections go on, but for those that have not asked yet."""
        self._native.stop_listening()

    def welcome(self, outbox: int, told: Callable[[PeerEvent], None]) -> None:
        """Let the client in that asks: ``told`` learns what becomes of its connection. To be followed by :meth:`take_up`."""
        self._on_outbox[outbox] = told

    def take_up(self, outbox: int, words: bytes, topics: Iterable[Wanted] = (), *, priority: int = 0) -> bool:
        """Send bytes of our own, then subscribe: as one step, so that many who come at once wait for the pump once each.

        ``words`` are framed already. Those to a client that has just been welcomed begin with the HTTP answer; from then on the
        connection is an outbox like any other, and what the client says is told, what it has said already included. ``priority`` is
        as for :meth:`set_priority`.

        Returns False if the outbox is gone already, or goes for want of memory: that is told as well.
        """
        return self._native.take_up(outbox, words, priority, [_native_topic(*topic) for topic in topics])

    def refuse(self, outbox: int, answer: bytes) -> None:
        """Send this HTTP answer and close. Nothing more is told of the connection."""
        if not self._native.refuse(outbox, answer):
            self._native.remove_outbox(outbox)

    def adopt(self, fd: int, peer: str, session: object = None) -> int | None:
        """Take over a connected stream socket as if the listener had accepted it; the pump closes it. ``peer`` is ``host:port``.

        With a TLS session whose handshake is over (see :mod:`finstream.acceptor`) all that follows is encrypted. Returns
        None, and the socket stays the caller's, when nobody listens or there is no room.
        """
        handle = self._native.adopt(fd, peer.encode(), session)
        return None if handle < 0 else handle

    def count_connections(self) -> int:
        """Those that were accepted or adopted, and are not closed yet."""
        return self._native.connections()

    def encryption(self) -> EncryptionStatistics:
        return EncryptionStatistics(*self._native.encryption())

    def set_priority(self, outbox: int, priority: int) -> None:
        """Of an outbox among those that :meth:`guard` may give up; lower goes first, and 0 is what it has before."""
        self._native.set_priority(outbox, priority)

    def push(self, outbox: int, data: bytes, *, final: bool = False) -> bool:
        """Send bytes of our own (control frames, already framed) in order with the stream.

        After ``final`` nothing more is accepted, neither from here nor from the stream. Returns False when the outbox is closed
        already; then nothing is sent.
        """
        return self._native.push(outbox, data, final)

    def subscribe(self, outbox: int, asset: int, symbol: str | None = None, policy: Policy = PLAIN) -> bool:
        """Returns False when it was subscribed already in this way, or the outbox is gone. Another policy replaces the former."""
        return self._native.subscribe(outbox, _native_topic(asset, symbol, policy))

    def unsubscribe(self, outbox: int, asset: int, symbol: str | None = None) -> bool:
        """Returns False when it was not subscribed."""
        return self._native.unsubscribe(outbox, asset, None if symbol is None else symbol.encode())

    def broadcast(self, asset: int, message: bytes) -> int:
        """Send one control message (JSON text, unframed) to every outbox that has any topic of ``asset``; returns how many."""
        return self._native.broadcast(asset, message)

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def asset_statistics(self, asset: int) -> AssetStatistics:
        *counts, rejected, last_received_ns, subscribers, symbols, untold, found = self._native.asset_statistics(asset)
        by_reason = {reason: count for reason, count in zip(_fastpath.REJECTIONS, rejected, strict=True) if count}
        by_check = {check: count for check, count in zip(CHECKS_OF_QUALITY, found, strict=True) if count}
        values: tuple[Any, ...] = (*counts, by_reason, last_received_ns, subscribers, symbols, untold, by_check)
        return AssetStatistics(*values)

    def symbol_statistics(self, asset: int) -> list[SymbolStatistics]:
        """The symbols that are subscribed, and the first 65,536 that the asset named."""
        return [SymbolStatistics(*values) for values in self._native.symbol_statistics(asset)]

    def symbol(self, asset: int, symbol: str) -> SymbolStatistics | None:
        """One symbol of an asset; None if nobody has named it yet."""
        values = self._native.one_symbol(asset, symbol.encode())
        return None if values is None else SymbolStatistics(*values)

    def arena(self, now_ns: int = 0) -> list[ArenaEntry]:
        """The pricing assets that are not retired, best first, as of ``now_ns`` since the epoch (0: this moment)."""
        return [ArenaEntry(*values) for values in self._native.arena_order(now_ns)]

    def new_rankings(self, most: int = 256, now_ns: int = 0) -> dict[str, list[str]]:
        """For each symbol that several racing assets tick, those assets, best first; only where the order is another than when it
        was last asked for. At most so many symbols: the others come with the next calls."""
        found = self._native.new_rankings(most, now_ns)
        return {symbol.decode(): [self._names[asset] for asset in assets] for symbol, assets in found}

    def form(self, asset: int) -> Form:
        """What else is known of an asset's ticks; an asset that does not race has told nothing that could be matched."""
        *tally, least_ns, buckets = self._native.form(asset)
        return Form(Tally(*tally), Lags(least_ns, buckets))

    def form_on_symbol(self, asset: int, symbol: str) -> SymbolForm | None:
        """The same on one symbol; None where only one asset names it."""
        values = self._native.form_on_symbol(asset, symbol.encode())
        if values is None:
            return None
        matches, wins, lead_ns, smoothed_ns, least_ns, buckets, *pace = values
        return SymbolForm(Tally(matches, wins, lead_ns, smoothed_ns), Lags(least_ns, buckets), *pace)

    def outbox_statistics(self, outbox: int) -> OutboxStatistics | None:
        values = self._native.outbox_statistics(outbox)
        return None if values is None else OutboxStatistics(*values)

    def statistics(self) -> PumpStatistics:
        *counts, sampled_turns, sampled_lines, times = self._native.statistics()
        values: tuple[Any, ...] = (*counts, StageTimes(sampled_turns, sampled_lines, *times))
        return PumpStatistics(*values)

    def outbox_totals(self, most: int = 0) -> tuple[OutboxTotals, list[int]]:
        """All outboxes together, and the handles of at most so many that have something waiting."""
        totals, waiting, handles = self._native.outbox_totals(most)
        values = (*totals, waiting)
        return OutboxTotals(*values), handles


def _native_topic(asset: int, symbol: str | None, policy: Policy) -> tuple[int, bytes | None, int, bool, int]:
    return (
        asset,
        None if symbol is None else symbol.encode(),
        _POLICIES.index(policy.policy),
        policy.trades == "conflate",
        0 if policy.max_rate is None else int(1e9 / policy.max_rate),
    )
