"""Runs an ingestor as the engine would: the same environment, pipes, parser and stop ladder; we are its subscriber."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from statistics import median_low
from typing import Literal

import trio

from finstream.children.spawn import CannotStartError, open_pipe, open_pty, spawn
from finstream.children.spec import ChildSpec, EngineWords, asset_specs
from finstream.cli.check_ending import watch_to_the_end
from finstream.cli.check_observation import Arrivals, Lines, Observation, Rejection
from finstream.cli.check_remedies import REMEDIES
from finstream.cli.check_samples import Samples
from finstream.cli.check_stderr import StderrTail
from finstream.cli.client import TOKEN_VARIABLE
from finstream.pump import (
    BlockBuffered,
    Framing,
    HalfFull,
    LineRejected,
    OutboxClosed,
    Pump,
    SourceEnded,
    SourceOverflowed,
    StatusLine,
)
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.reasons import REJECTIONS
from finstream.vocabulary.settings import AssetSettings, Settings

__all__ = ["try_out"]

_ASSET = "check"
_DRAIN_S = 5.0
"""How long the pipe and our own reading may take to become empty once the program is gone."""
_OUTBOX_BYTES = 64 << 20
_OUTBOX_AGE_MS = 3_600_000


async def try_out(
    command: Sequence[str],
    *,
    seconds: float,
    grace_s: float = 5.0,
    unbuffer: Literal["none", "stdbuf", "pty"] = "none",
    replay: bool = False,
    mode: Literal["production", "simulation"] = "simulation",
) -> Observation:
    """Run ``command`` for ``seconds`` or until it ends, stop it, and tell what was seen. Leaves no process behind, also
    when it is cancelled.

    Raises:
      ConfigError: the command cannot be executed.
    """
    settings = AssetSettings(
        command=list(command), unbuffer=unbuffer, stop_grace_s=grace_s, origin="replay" if replay else "live"
    )
    # A mark like an engine's epoch: by it the ladder finds whatever the program started.
    words = EngineWords(epoch=f"check-{uuid.uuid4().hex}", mode=mode, token_env=TOKEN_VARIABLE)
    spec = asset_specs(Settings(mode=mode, assets={_ASSET: settings}), words)[_ASSET]
    pump = Pump(simulated=mode == "simulation")
    trial = _Trial(pump, spec)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            try:
                await trial.run(seconds, grace_s)
            finally:
                pump.stop()
    except* ConfigError as wrapped:
        bare: BaseException = wrapped
        while isinstance(bare, BaseExceptionGroup):
            bare = bare.exceptions[0]
        raise bare from None
    return trial.observation(list(command), replay=replay)


class _Trial:
    def __init__(self, pump: Pump, spec: ChildSpec) -> None:
        self._pump = pump
        self._spec = spec
        # Old and future stamps are not rejected one by one: the report judges them, and knows a remedy.
        self._asset = pump.add_asset(_ASSET)
        pump.on_line(self._take_line)
        self._samples = Samples()
        self._first_rejected: dict[str, LineRejected] = {}
        self._last_status: str | None = None
        self._block_bytes: int | None = None
        self._pipe_ended = trio.Event()
        self._stderr = StderrTail()
        self._started_us = 0
        self._lines_before_stop = 0

    async def run(self, seconds: float, grace_s: float) -> None:
        """Take it through its life.

        Raises:
          ConfigError: the command cannot be executed.
        """
        ours, theirs = socket.socketpair()
        outbox = self._pump.add_outbox(
            theirs.fileno(),
            self._outbox_closed,
            framing=Framing.LINES,
            max_bytes=_OUTBOX_BYTES,
            max_age_ms=_OUTBOX_AGE_MS,
        )
        self._pump.subscribe(outbox, self._asset)
        ours.setblocking(False)
        async with trio.open_nursery() as nursery, trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            reading_ended = trio.Event()
            nursery.start_soon(self._read_messages, stream, reading_ended)
            try:
                await self._run_child(seconds, grace_s)
            finally:
                with trio.CancelScope(shield=True):
                    await self._deliver_the_rest(outbox)
                    self._pump.remove_outbox(outbox)
                    theirs.close()
                    await reading_ended.wait()

    async def _run_child(self, seconds: float, grace_s: float) -> None:
        stdout = open_pty() if self._spec.unbuffer == "pty" else open_pipe(large=True)
        stderr = open_pipe()
        source: int | None = None
        try:
            try:
                self._started_us = time.time_ns() // 1000
                nothing = subprocess.DEVNULL
                process = await spawn(self._spec, stdin=nothing, stdout=stdout.theirs, stderr=stderr.theirs)
            except CannotStartError as error:
                raise ConfigError("COMMAND", str(error)) from None
            finally:
                os.close(stdout.theirs)
                os.close(stderr.theirs)
            source = self._pump.add_source(self._asset, stdout.ours, self._source_told)
            async with trio.open_nursery() as nursery, trio.lowlevel.FdStream(os.dup(stderr.ours)) as stream:
                nursery.start_soon(self._stderr.read, stream)
                self._ran_s, self._ending = await watch_to_the_end(
                    process,
                    self._spec.marks,
                    self._pipe_ended,
                    seconds=seconds,
                    grace_s=grace_s,
                    before_stop=self._before_stop,
                )
                nursery.cancel_scope.deadline = trio.current_time() + _DRAIN_S
                await self._pipe_ended.wait()
        finally:
            if source is not None:
                self._pump.remove_source(source)
            os.close(stdout.ours)
            os.close(stderr.ours)

    def _before_stop(self) -> None:
        self._lines_before_stop = self._pump.asset_statistics(self._asset).lines

    async def _deliver_the_rest(self, outbox: int) -> None:
        deadline = trio.current_time() + _DRAIN_S
        while (statistics := self._pump.outbox_statistics(outbox)) and statistics.queued_messages:
            if trio.current_time() > deadline:
                return
            await trio.sleep(0.005)

    async def _read_messages(self, stream: trio.SocketStream, ended: trio.Event) -> None:
        rest = b""
        with trio.CancelScope(shield=True):  # ends with the stream, so that every message is counted
            while chunk := await stream.receive_some(1 << 18):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._samples.add(line)
            ended.set()

    def _source_told(self, event: SourceEnded | SourceOverflowed | BlockBuffered) -> None:
        match event:
            case SourceEnded():
                self._pipe_ended.set()
            case BlockBuffered(block_bytes=size):
                self._block_bytes = size

    def _outbox_closed(self, _event: OutboxClosed | HalfFull) -> None:
        """It prints faster than we can look at: the pump goes on counting, and the sample ends here."""

    def _take_line(self, event: LineRejected | StatusLine) -> None:
        if isinstance(event, StatusLine):
            self._last_status = event.line.decode(errors="replace")
        else:
            self._first_rejected.setdefault(event.reason, event)

    def observation(self, command: list[str], *, replay: bool) -> Observation:
        counted = self._pump.asset_statistics(self._asset)
        samples = self._samples
        sizes = samples.sizes()
        bursts = samples.bursts()
        first = samples.first_received_us
        return Observation(
            command=command,
            ran_s=self._ran_s,
            replay=replay,
            lines=Lines(
                lines=counted.lines,
                bytes=counted.bytes,
                ticks=counted.ticks,
                opaque=counted.opaque,
                heartbeats=counted.heartbeats,
                statuses=counted.statuses,
                rejected=sum(counted.rejected.values()),
                trades=samples.trades,
                quotes=samples.quotes,
                trades_without_identity=samples.trades_without_identity,
                types=dict(samples.types),
                symbols=dict(samples.symbols),
                last_status=self._last_status,
                looked_at=samples.looked_at,
            ),
            rejections=[self._rejection(reason, count) for reason, count in counted.rejected.items()],
            lags=samples.lags(),
            arrivals=Arrivals(
                first_after_s=None if first is None else (first - self._started_us) / 1e6,
                arrivals=len(sizes),
                median_messages=median_low(sizes) if sizes else 0,
                most_messages=max(sizes, default=0),
                longest_gap_ms=samples.longest_gap_us / 1000 if len(sizes) > 1 else None,
                bursts=len(bursts),
                median_burst_messages=median_low([messages for messages, _ in bursts]) if bursts else 0,
                median_pause_ms=median_low([pause_us for _, pause_us in bursts]) / 1000 if bursts else 0.0,
                block_bytes=self._block_bytes,
                lines_after_stop=counted.lines - self._lines_before_stop,
            ),
            ending=self._ending,
            stderr=self._stderr.observed(),
        )

    def _rejection(self, reason: str, count: int) -> Rejection:
        first = self._first_rejected.get(reason)
        return Rejection(
            reason=reason,
            meaning=REJECTIONS[reason],
            remedy=REMEDIES[reason],
            count=count,
            line="" if first is None else first.line.decode(errors="backslashreplace"),
            line_bytes=0 if first is None else first.line_bytes,
        )
