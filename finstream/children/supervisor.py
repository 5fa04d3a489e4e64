"""All children of the engine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import trio

from finstream.children.asset import Asset
from finstream.children.demand import Demand
from finstream.children.guard import Guard
from finstream.children.holding import Holding
from finstream.children.markets import Markets
from finstream.children.ports import Bus, Logger
from finstream.children.sink import Sink
from finstream.children.spec import ChildSpec, EngineWords, asset_specs, sink_specs
from finstream.children.status import AssetStatus, SupervisorStatistics
from finstream.pump import Pump
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import CommandReceived
from finstream.vocabulary.settings import AssetSettings, Limits, Settings, SinkSettings
from finstream.vocabulary.topics import BEST

__all__ = ["Supervisor"]


_Child = TypeVar("_Child", Asset, Sink)


class _Keeping(NamedTuple):
    """The task that keeps one child."""

    scope: trio.CancelScope
    gone: trio.Event


def _wall_us() -> int:
    return time.time_ns() // 1000


class Supervisor:
    """Keeps the children of the configuration, and sees to it that none outlives the engine.

    ``epoch`` names this engine run; no other engine on the machine may have the same. ``jitter`` gives numbers from 0
    up to 1 for the back-off, ``wall_us`` the time in microseconds since the epoch. ``orphan_grace_s`` is what the
    guardian gives orphans between SIGTERM and SIGKILL. ``evicted(sink, freed_bytes)`` is told of each sink that was cut
    off because memory was short.

    The bus and the pump are used, never closed; both must outlive :meth:`run`.
    """

    def __init__(
        self,
        *,
        pump: Pump,
        bus: Bus,
        logger: Logger,
        epoch: str,
        mode: str,
        evicted: Callable[[str, int], None] = lambda _sink, _freed_bytes: None,
        jitter: Callable[[], float] = random.random,
        wall_us: Callable[[], int] = _wall_us,
        orphan_grace_s: float = 5.0,
    ) -> None:
        self.demand = Demand(self._demand_changed)
        """Who wants which asset: :meth:`~finstream.children.demand.Demand.want` and ``unwant``."""
        self.holding = Holding(lambda: self._assets.values())
        """Pauses assets while memory is short."""
        self.markets = Markets(lambda: self._assets.values())
        """Pauses assets while their market is closed."""
        self._pump = pump
        self._bus = bus
        self._log = logger
        self._engine = EngineWords(epoch, mode, "")
        self._limits = Limits()
        self._evicted = evicted
        self._jitter = jitter
        self._wall_us = wall_us
        self._guard = Guard(epoch=epoch, logger=logger, grace_s=orphan_grace_s)
        self._assets: dict[str, Asset] = {}
        self._sinks: dict[str, Sink] = {}
        self._keepings: dict[tuple[type, str], _Keeping] = {}
        """Of the children that are leaving too."""
        self._nursery: trio.Nursery | None = None

    # --- life ------------------------------------------------------------------------------------------------------

    async def run(self, settings: Settings, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Started once the children of ``settings`` are known and those that are wanted are
        being started.

        On cancellation all children climb their ladders at the same time, shielded; that takes the longest
        ``stop_grace_s``, and some seconds more if a child hangs in the kernel. Afterwards not one of their processes is
        left.

        Raises:
          OSError: the guardian cannot be started (in an exception group, as of any nursery).
        """
        async with trio.open_nursery() as services:
            # These two keep the values that the engine started with.
            self._engine = self._engine._replace(token_env=settings.admin.token_env)
            self._limits = settings.limits
            await services.start(self._guard.run)
            try:
                async with trio.open_nursery() as self._nursery:
                    self._take(settings)
                    task_status.started()
                    await trio.sleep_forever()
            finally:
                self._nursery = None
                with trio.CancelScope(shield=True):
                    await self._guard.dismiss()

    async def apply(self, settings: Settings) -> None:
        """Start, stop and restart what changed; leave the rest untouched.

        A child whose :class:`~finstream.children.spec.ChildSpec` is equal keeps its process; its other settings
        (those of ``LIVE_KEYS``) take effect at once. All is set going before the first checkpoint, so a cancelled call is
        not half done. Returns then: nothing waits for a child that takes its time to leave but a successor of the same
        name.
        """
        if self._nursery is None:
            raise RuntimeError("the supervisor does not run")
        self._take(settings)
        await trio.lowlevel.checkpoint()

    def _take(self, settings: Settings) -> None:
        """Set a configuration going."""
        assets, sinks = asset_specs(settings, self._engine), sink_specs(settings, self._engine)
        for name in self._assets.keys() - assets:
            self._dismiss(self._assets.pop(name))
        for name in self._sinks.keys() - sinks:
            self._dismiss(self._sinks.pop(name))
        for name, spec in assets.items():
            if asset := self._assets.get(name):
                asset.reconfigure(spec, settings.assets[name])
            else:
                self._assets[name] = self._keep(self._new_asset(spec, settings.assets[name]))
        self._assets = {name: self._assets[name] for name in assets}
        self.markets.refresh()
        # After the assets: a sink's topics may name new ones.
        for name, spec in sinks.items():
            if sink := self._sinks.get(name):
                sink.reconfigure(spec, settings.sinks[name])
            else:
                self._sinks[name] = self._keep(self._new_sink(spec, settings.sinks[name]))

    def _new_asset(self, spec: ChildSpec, settings: AssetSettings) -> Asset:
        return Asset(
            spec, settings, pump=self._pump, bus=self._bus, demand=self.demand,
            simulated=self._engine.mode == "simulation", guard=self._guard,
            logger=self._log.bind(asset=spec.name), jitter=self._jitter, wall_us=self._wall_us,
        )

    def _new_sink(self, spec: ChildSpec, settings: SinkSettings) -> Sink:
        return Sink(
            spec, settings, pump=self._pump, demand=self.demand, limits=self._limits, guard=self._guard,
            evicted=self._evicted, logger=self._log.bind(sink=spec.name), jitter=self._jitter, wall_us=self._wall_us,
        )

    def _keep(self, child: _Child) -> _Child:
        assert self._nursery is not None
        key = (type(child), child.name)
        predecessor = self._keepings.get(key)
        keeping = self._keepings[key] = _Keeping(trio.CancelScope(), trio.Event())
        self._nursery.start_soon(self._keep_running, child, keeping, predecessor)
        return child

    async def _keep_running(self, child: Asset | Sink, keeping: _Keeping, predecessor: _Keeping | None) -> None:
        try:
            with keeping.scope:
                if predecessor is not None:
                    await predecessor.gone.wait()  # removed and added again: never two processes of one name
                await child.runner.run()
        finally:
            keeping.gone.set()
            key = (type(child), child.name)
            if self._keepings[key] is keeping and self._nursery is not None:
                del self._keepings[key]
                if isinstance(child, Asset):
                    child.retire()

    def _dismiss(self, child: Asset | Sink) -> None:
        keeping = self._keepings[type(child), child.name]
        child.runner.leaving = "ConfigRemoved"
        keeping.scope.cancel(reason="ConfigRemoved")

    # --- assets ----------------------------------------------------------------------------------------------------

    def status(self, asset: str) -> AssetStatus:
        """
        Raises:
          RequestError: ``unknown-asset``.
        """
        return self._asset(asset).status()

    def statuses(self) -> list[AssetStatus]:
        """All assets, in the order of the configuration."""
        return [asset.status() for asset in self._assets.values()]

    def statistics(self) -> SupervisorStatistics:
        return SupervisorStatistics(self.statuses(), [sink.status() for sink in self._sinks.values()])

    def asset_message(self, asset: str) -> bytes | None:
        """The message that tells subscribers its present state, the same that each change sends; None if there is no such
        asset."""
        found = self._assets.get(asset)
        return None if found is None else found.message()

    async def pause(self, asset: str, *, origin: str) -> None:
        """Stop an asset and keep it stopped until somebody starts it. Returns when that has begun.

        Raises:
          RequestError: ``unknown-asset``; ``wrong-state``: it is paused already.
        """
        await self._command("pause", asset, origin)

    async def start(self, asset: str, *, origin: str) -> None:
        """Start an asset that is paused, done, misconfigured or tripped, and forget its failures. If nobody wants it,
        it leaves again after its linger.

        Raises:
          RequestError: ``unknown-asset``; ``wrong-state``.
        """
        await self._command("start", asset, origin)

    async def restart(self, asset: str, *, origin: str) -> None:
        """Give an asset a new process, or make the next attempt now, and forget its failures. Returns when that has
        begun.

        Raises:
          RequestError: ``unknown-asset``; ``wrong-state``: it is idle, paused or just being stopped.
        """
        await self._command("restart", asset, origin)

    def restart_if_running(self, asset: str) -> None:
        """It is time for the scheduled restart of an asset: its process is replaced, if it has one."""
        if found := self._assets.get(asset):
            self._log.info("scheduled restart", asset=asset, state=found.runner.life.state)
            found.runner.restart_if_running()

    async def _command(self, command: str, name: str, origin: str) -> None:
        await trio.lowlevel.checkpoint()
        asset = self._asset(name)
        self._bus.publish(CommandReceived(command=command, target=name, origin=origin))
        self._log.info("command received", command=command, asset=name, origin=origin)
        asset.runner.command(command)

    def _asset(self, name: str) -> Asset:
        try:
            return self._assets[name]
        except KeyError:
            raise RequestError("unknown-asset", f"there is no asset {name!r}") from None

    def _demand_changed(self, name: str, newly_wanted: bool) -> None:
        for asset in self._assets.values() if name == BEST else filter(None, [self._assets.get(name)]):
            if name != BEST or asset.races:
                asset.runner.demand_changed(newly_wanted)
