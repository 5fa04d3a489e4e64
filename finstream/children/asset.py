"""One asset: an ingestor whose standard output the pump reads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import msgspec
import trio
from trio.lowlevel import FdStream

from finstream.children.demand import Demand
from finstream.children.guard import Guard
from finstream.children.lifecycle import State
from finstream.children.ports import Bus, Logger
from finstream.children.runner import Runner
from finstream.children.spawn import open_pipe, open_pty
from finstream.children.spec import ChildSpec
from finstream.children.status import AssetStatus
from finstream.pump import BlockBuffered, Pump, SourceEnded, SourceOverflowed
from finstream.vocabulary.events import AssetStateChanged
from finstream.vocabulary.settings import AssetSettings
from finstream.vocabulary.topics import BEST

__all__ = ["Asset"]

DRAIN_S = 5.0
"""How long the pump may take to read what an ended ingestor left in its pipe, at most 1 MiB: milliseconds, unless
somebody whom we could not end holds the pipe open."""


class Asset:
    """An asset of the configuration: its runner, its place in the pump, its state told to everybody concerned."""

    def __init__(
        self,
        spec: ChildSpec,
        settings: AssetSettings,
        *,
        pump: Pump,
        bus: Bus,
        demand: Demand,
        simulated: bool,
        guard: Guard,
        logger: Logger,
        jitter: Callable[[], float],
        wall_us: Callable[[], int],
    ) -> None:
        self.name = spec.name
        self._settings = settings
        self._pump = pump
        self._bus = bus
        self._demand = demand
        self._simulated = simulated
        self._log = logger
        self._buffering_told = False
        self._closed_because: str | None = None
        self._handle = self._add_to_pump()
        self.runner = Runner(self, spec, settings, guard=guard, logger=logger, jitter=jitter, wall_us=wall_us)

    # --- as the supervisor sees it ---------------------------------------------------------------------------------

    def reconfigure(self, spec: ChildSpec, settings: AssetSettings) -> None:
        """Take new settings; the process is replaced only if it needs to be."""
        if spec != self.runner.spec:
            self._buffering_told = False
        self._settings = settings
        self._add_to_pump()
        self.runner.reconfigure(spec, settings)

    def retire(self) -> None:
        """It has left the configuration and its process is gone."""
        self._pump.retire_asset(self._handle)

    def status(self) -> AssetStatus:
        runner = self.runner
        return AssetStatus(
            name=self.name,
            state=runner.life.state,
            reason=runner.life.reason,
            detail=runner.life.detail,
            kind=self._settings.kind,
            origin=self._settings.origin,
            pid=runner.pid,
            restarts=runner.restarts,
            wanted_by=self._wanted_by(),
            since_us=runner.life.since_us,
            next_attempt_us=runner.next_attempt_us,
            last_exit_code=runner.last_exit_code,
            priority=self.priority,
            market=self.market,
            restart_at=self._settings.restart_at,
            command=self._settings.command,
        )

    @property
    def races(self) -> bool:
        """Whether it is in the arena."""
        return self._settings.kind == "pricing"

    @property
    def priority(self) -> int:
        return self._settings.priority

    @property
    def market(self) -> str:
        return self._settings.market

    def heed_market(self, closed_because: str | None) -> None:
        """Pause while its market is closed; None: it is not. What an operator did meanwhile stands until the next change."""
        before, self._closed_because = self._closed_because, closed_because
        if closed_because is None:
            self.runner.relieve("MarketClosed")
        elif before is None:
            self.runner.hold("MarketClosed", closed_because)
        else:
            self.runner.restate("MarketClosed", closed_because)

    def _wanted_by(self) -> int:
        # The best source is known only to those who have heard all of them.
        return self._demand.wanted_by(self.name) + (self._demand.wanted_by(BEST) if self.races else 0)

    def message(self) -> bytes:
        """Its present state, as subscribers are told."""
        life = self.runner.life
        message: dict[str, object] = {"type": "asset", "asset": self.name, "state": life.state, "reason": life.reason}
        if life.detail:
            message["detail"] = life.detail
        if self._simulated:
            message["simulated"] = True
        return msgspec.json.encode(message)

    def _add_to_pump(self) -> int:
        quality = self._settings.quality
        if self._settings.origin == "replay":  # a recording is old by nature, and may begin anew
            quality = msgspec.structs.replace(quality, max_age_ms=None, duplicates="ignore")
        handle = self._pump.add_asset(
            self.name,
            in_arena=self.races,
            future_ms=quality.future_ms,
            max_age_ms=quality.max_age_ms,
        )
        self._pump.check_quality(handle, quality)
        return handle

    # --- as its runner sees it (roles.Role) ------------------------------------------------------------------------

    @property
    def linger_s(self) -> float:
        return self._settings.linger_s

    def is_wanted(self) -> bool:
        return self._settings.start == "always" or self._wanted_by() > 0

    def open_wires(self, spec: ChildSpec) -> IngestorWires:
        return IngestorWires(self._pump, self._handle, spec, self._log, self._warn_of_buffering)

    def changed(self, previous: State) -> None:
        runner = self.runner
        life = runner.life
        self._bus.publish(
            AssetStateChanged(
                asset=self.name, state=life.state, previous=previous, reason=life.reason, detail=life.detail,
                pid=runner.pid, exit_code=runner.ended_with,
            )
        )
        self._pump.broadcast(self._handle, self.message())

    def _warn_of_buffering(self, block_bytes: int) -> None:
        if self._buffering_told:
            return
        self._buffering_told = True
        self._log.warning(
            "the ingestor's lines arrive in blocks, late: its standard output is buffered",
            block_bytes=block_bytes,
            remedy="flush after each line; where you cannot, set unbuffer: stdbuf (for programs that use C's stdio) or "
            "unbuffer: pty",
        )


class IngestorWires:
    """Standard input from nowhere, standard output to the pump, standard error to the log."""

    def __init__(
        self, pump: Pump, asset: int, spec: ChildSpec, logger: Logger, warn_of_buffering: Callable[[int], None]
    ) -> None:
        self._pump = pump
        self._asset = asset
        self._full_s = spec.stdout_full_s
        self._log = logger
        self._warn_of_buffering = warn_of_buffering
        self._stop: Callable[[str], None] = lambda _reason: None
        self._source: int | None = None
        self._ended = trio.Event()
        with ExitStack() as if_it_fails:
            output = open_pty() if spec.unbuffer == "pty" else open_pipe(large=True)
            if_it_fails.callback(os.close, output.ours)
            if_it_fails.callback(os.close, output.theirs)
            errors = open_pipe()
            if_it_fails.pop_all()
        self._output: int | None = output.ours
        self.theirs = (subprocess.DEVNULL, output.theirs, errors.theirs)
        self.logs: Sequence[tuple[str, FdStream]] = [("stderr", FdStream(errors.ours))]

    def close_theirs(self) -> None:
        for end in self.theirs[1:]:
            os.close(end)

    def connect(self, stop: Callable[[str], None]) -> None:
        assert self._output is not None
        self._stop = stop
        self._source = self._pump.add_source(self._asset, self._output, self._told, full_s=self._full_s)

    def _told(self, event: SourceEnded | SourceOverflowed | BlockBuffered) -> None:
        if isinstance(event, SourceOverflowed):
            self._stop("BackpressureOverflow")
        elif isinstance(event, BlockBuffered):
            self._warn_of_buffering(event.block_bytes)
        else:
            self._ended.set()

    async def let_go(self) -> str:
        await self._ended.wait()
        return "StdoutClosed"

    async def end_input(self, within_s: float) -> bool:  # noqa: ARG002  (a sink's takes its time)
        return False

    async def drain(self) -> None:
        if self._source is None:
            return
        with trio.move_on_after(DRAIN_S if self._pump.running else 0):
            await self._ended.wait()
        if not self._ended.is_set():
            self._log.warning("the ingestor's pipe was given up before its end", waited_s=DRAIN_S)

    def release(self) -> None:
        if self._source is not None:
            self._pump.remove_source(self._source)
            self._source = None
        if self._output is not None:
            os.close(self._output)
            self._output = None
