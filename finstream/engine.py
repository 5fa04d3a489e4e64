"""The engine: ingestors print ticks, the pump fans them out, Trio supervises everything and decides everything.

The nursery tree, from the outside in. Whoever uses something lives inside it, so nobody uses what is being stopped:

    services      signals, store, dead letters, sessions,
                  metronome                                 end last, flush what waits
      pump        the data plane's thread                   ends once nothing reaches it any more
        children  ingestors, sinks, what guards them        climb their stop ladders once nobody listens
          front   public, admin, stream                     stops accepting, says goodbye, drains
            configuration watch, scheduled restarts, telemetry

``run_engine`` turns every ending into an exit code and one clear line in the log.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import msgspec
import trio

import finstream
from finstream import endings
from finstream.beginnings import check_start, open_standard_streams, raise_descriptor_limit
from finstream.children.supervisor import Supervisor
from finstream.endings import explain
from finstream.leaving import Leaving
from finstream.pump import LineRejected, Pump, StatusLine, Switched
from finstream.servers.admin import admin_token
from finstream.servers.front import Front, Listeners
from finstream.servers.tls import Tls
from finstream.services.bus import Bus
from finstream.services.client_classes import ClientClasses
from finstream.services.config import load
from finstream.services.config_plan import Plan
from finstream.services.config_watch import ConfigWatch
from finstream.services.dead_letters import DeadLetters
from finstream.services.feed_health import FeedHealth
from finstream.services.feed_judgement import Hours, hours_of
from finstream.services.logs import Logs, get_logger, start_logging
from finstream.services.memory_guard import MemoryGuard
from finstream.services.metronome import Metronome
from finstream.services.new_york import local
from finstream.services.restart_times import RestartTimes
from finstream.services.sessions import Sessions
from finstream.services.store import Store
from finstream.services.telemetry import Telemetry
from finstream.services.telemetry_look import Look, Parts
from finstream.stopping import Stop
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.events import BestSwitched, ConfigRejected, IngestorStatus, LogLevelChanged, MarketStatus
from finstream.vocabulary.settings import Settings
from finstream.vocabulary.topics import BEST

__all__ = ["main", "run_engine"]

Ready = Callable[[dict[str, str]], None]


def main(config_path: Path) -> int:
    """Run the engine in this process until it is told to stop; returns the exit code. A reboot replaces the process."""

    def tell(addresses: dict[str, str]) -> None:
        with suppress(OSError):  # nobody has to listen
            sys.stdout.write(msgspec.json.encode({"event": "ready", **addresses}).decode() + "\n")
            sys.stdout.flush()

    open_standard_streams()
    try:
        code = trio.run(partial(run_engine, config_path, ready=tell))
    except KeyboardInterrupt:  # before the signals were ours
        return endings.INTERRUPTED
    if code == endings.REBOOT:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the same program, the same arguments
    return code


async def run_engine(config_path: Path, *, ready: Ready) -> int:
    """Run the engine until a signal or a command ends it; returns the exit code, REBOOT if it is to be started again.

    ``ready`` is called once, with the URLs really bound, when the engine serves. The process's signals and logging
    belong to the engine meanwhile.
    """
    logs = start_logging()
    log = get_logger("engine")
    try:
        raise_descriptor_limit()
        settings = load(config_path)
        logs.set_level(settings.logs.level)
        token = admin_token(settings, os.environ)
        tls = Tls.of(settings.tls)
        for warning in [] if tls is None else tls.warnings(time.time()):
            log.warning(warning)
        with closing(Listeners(settings.listen)) as listeners:
            engine = Engine(config_path, settings, listeners, logs=logs, token=token, tls=tls)
            await engine.run(ready)
        return endings.REBOOT if engine.stop.reason == "engine_restarting" else endings.OK
    except Exception as error:  # the outermost edge: nothing but an exit code leaves here
        return explain(error, log)
    finally:
        logs.close()


class Engine:
    """All parts, and how they hang together. Run it once."""

    def __init__(
        self, path: Path, settings: Settings, listeners: Listeners, *, logs: Logs, token: str | None, tls: Tls | None
    ) -> None:
        self._path = path
        self._settings = settings
        self._listeners = listeners
        self._tls = tls
        self._logs = logs
        self._log = get_logger("engine")
        self._assets = {*settings.assets, BEST}
        self._epoch = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        self._leaving = Leaving(lambda: self._supervisor.statuses(), lambda: self._config.running, logs)
        self.stop = Stop(self._log, self._leaving.at_once)
        self._bus = Bus()
        self._pump = Pump(simulated=settings.mode == "simulation", line_bytes=settings.limits.line_bytes)
        self._pump.on_line(self._hear)
        self._pump.on_switch(self._switched)
        self._pump.add_best(BEST)
        self._supervisor = Supervisor(
            pump=self._pump,
            bus=self._bus,
            logger=get_logger("assman"),
            epoch=self._epoch,
            mode=settings.mode,
            evicted=lambda sink, freed_bytes: self._memory.evicted(sink, freed_bytes),
        )
        self._metronome = Metronome(settings, told=self._market_changed, logger=get_logger("marketstatus"))
        self._restart_times = RestartTimes(
            settings, restart_asset=self._supervisor.restart_if_running, reboot=self._reboot, logger=get_logger("assman")
        )
        self._dead_letters = DeadLetters(
            settings.dead_letters, pump=self._pump, bus=self._bus, logger=get_logger("deadletters")
        )
        self._health = FeedHealth(
            pump=self._pump,
            statuses=self._supervisor.statuses,
            bus=self._bus,
            logger=get_logger("primon"),
            simulated=settings.mode == "simulation",
            hours=self._hours,
        )
        limits = settings.limits
        self._memory = MemoryGuard(
            pump=self._pump, holding=self._supervisor.holding, bus=self._bus, logger=get_logger("memory"), limits=limits
        )
        self._classes = ClientClasses(settings.client_classes)
        self._store = Store(Path(settings.state.path), logger=get_logger("db"), most_clients=limits.clients)
        self._sessions = Sessions(
            pump=self._pump,
            demand=self._supervisor.demand,
            bus=self._bus,
            store=self._store,
            logger=get_logger("climan"),
            limits=limits,
            reconnect_window_s=settings.state.reconnect_window_s,
            known_assets=lambda: self._assets,
            classes=self._classes,
            evicted=self._memory.evicted,
        )
        self._config = ConfigWatch(
            path, settings, bus=self._bus, logger=get_logger("confman"), apply=self._apply, prepare=self._renew_certificate
        )
        parts = Parts(
            pump=self._pump,
            bus=self._bus,
            logs=logs,
            children=self._supervisor.statistics,
            health=self._health.statistics,
            clients=self._sessions.statistics,
            memory=self._memory.statistics,
            dead_letters=self._dead_letters.statistics,
            store=self._store.statistics,
            config=self._config.statistics,
            servers=lambda: self._front.statistics(),
            market=self._metronome.view_now,
            hours=self._hours,
        )
        look = Look(parts, epoch=self._epoch, mode=settings.mode)
        self._telemetry = Telemetry(settings.telemetry, look, bus=self._bus, logger=get_logger("telemetry"))
        self._front = Front(
            settings,
            listeners,
            pump=self._pump,
            sessions=self._sessions,
            supervisor=self._supervisor,
            memory=self._memory,
            metronome=self._metronome,
            health=self._health,
            hours=self._hours,
            telemetry=self._telemetry,
            config=self._config,
            logs=logs,
            bus=self._bus,
            logger=get_logger("servman"),
            epoch=self._epoch,
            token=token,
            tls=tls,
            reboot=self._reboot,
        )

    async def run(self, ready: Ready) -> None:
        """Returns after :attr:`stop` was asked for, and everything has ended in its order."""
        async with trio.open_nursery() as services:
            await services.start(self.stop.heed_signals)
            services.start_soon(self.stop.give_up_waiting, self._leaving.longest_ladder_s)
            await services.start(self._store.run)
            await services.start(self._dead_letters.run)
            await services.start(self._sessions.run)
            await services.start(self._metronome.run)
            async with trio.open_nursery() as pumping:
                await pumping.start(self._pump.run)
                async with trio.open_nursery() as children:
                    await children.start(self._supervisor.run, self._settings)
                    await children.start(self._memory.run)
                    await children.start(self._health.run)
                    await self._serve(ready)
                    children.cancel_scope.cancel(reason="EngineStopping")
                self._pump.stop()
            services.cancel_scope.cancel()
        self._log.info("stopped", reason=self.stop.reason)

    async def _serve(self, ready: Ready) -> None:
        async with trio.open_nursery() as front:
            await front.start(self._front.run)
            async with trio.open_nursery() as watching:
                await watching.start(self._config.run)
                await watching.start(self._telemetry.run)
                watching.start_soon(self._restart_times.run)
                urls = self._listeners.urls(secure=self._tls is not None)
                self._log.info(
                    "ready", version=finstream.__version__, epoch=self._epoch, mode=self._settings.mode, **urls
                )
                ready(urls)
                await self.stop.asked.wait()
                watching.cancel_scope.cancel()
            self._front.stop(self.stop.reason, children_s=self._leaving.ladder_under_way_s())

    # --- told by others ---

    def _renew_certificate(self) -> None:
        if self._tls is not None:
            self._tls.renew()
            for warning in self._tls.warnings(time.time()):
                self._log.warning(warning)

    async def _apply(self, settings: Settings, plan: Plan) -> None:
        """A changed configuration takes effect."""
        self._assets = {*settings.assets, BEST}
        if settings.logs.level != self._logs.level and "logs.level" in plan.hot:
            previous = self._logs.set_level(settings.logs.level)
            self._bus.publish(LogLevelChanged(level=settings.logs.level, previous=previous))
        self._classes.apply(settings.client_classes)
        self._sessions.refresh_priorities()
        self._memory.apply(settings.limits)
        await self._supervisor.apply(settings)
        self._metronome.apply(settings)
        self._telemetry.apply(settings.telemetry)
        self._restart_times.apply(settings)
        self._sessions.refresh_assets()

    def _hear(self, event: LineRejected | StatusLine) -> None:
        if isinstance(event, LineRejected):
            self._dead_letters.take(event)
            return
        asset, status = self._pump.asset_name(event.asset), msgspec.Raw(event.line)
        self._log.info("ingestor status", asset=asset, status=status)
        self._bus.publish(IngestorStatus(asset=asset, status=status))

    def _market_changed(self, event: MarketStatus) -> None:
        """Those that follow the market pause and go on."""
        self._bus.publish(event)
        because = None
        if event.status == "closed":
            until = "" if event.next_change_us is None else f" until {local(event.next_change_us).isoformat(timespec='minutes')}"
            because = f"{event.market} is closed{until}" + (", as simulated" if event.source == "simulation" else "")
        self._supervisor.markets.tell(event.market, because)

    def _hours(self, asset: str) -> Hours:
        """Of an asset's market, as of now."""
        settings = self._config.running.assets.get(asset)
        return "busy" if settings is None else hours_of(settings.market, self._metronome.phase)

    def _switched(self, event: Switched) -> None:
        asset = self._pump.asset_name(event.asset)
        previous = None if event.previous < 0 else self._pump.asset_name(event.previous)
        get_logger("primon").info(
            "best source switched", symbol=event.symbol, asset=asset, previous=previous, reason=event.reason
        )
        self._bus.publish(BestSwitched(symbol=event.symbol, asset=asset, previous=previous, reason=event.reason))

    async def _reboot(self, origin: str) -> None:
        try:
            await trio.to_thread.run_sync(check_start, self._path, self._settings, self._listeners)
        except ConfigError as error:
            self._log.error("reboot refused", path=str(self._path), error=str(error), origin=origin)
            self._bus.publish(ConfigRejected(path=str(self._path), error=str(error)))
            raise
        if not self.stop.ask("engine_restarting", origin):
            raise RequestError("wrong-state", "the engine is stopping already")
