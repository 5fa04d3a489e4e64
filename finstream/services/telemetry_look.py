"""One look at all parts: collects their ``statistics()`` and reckons the rates. It asks, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import psutil
import trio

import finstream
from finstream.pump import OutboxStatistics, Pump
from finstream.services import arena_view
from finstream.services.arena_view import ArenaPlace
from finstream.services.bus import Bus
from finstream.services.census import ClientsStatistics
from finstream.services.config_watch import ConfigStatistics
from finstream.services.dead_letters import DeadLetterStatistics
from finstream.services.feed_health import FeedStatistics
from finstream.services.feed_judgement import Hours
from finstream.services.logs import Logs
from finstream.services.memory_guard import MemoryStatistics
from finstream.services.processes import Processes, ProcessStatistics
from finstream.services.rates import Rates
from finstream.services.store import StoreStatistics
from finstream.services.telemetry_view import (
    AssetFigures,
    ChildFigures,
    ClientRates,
    PumpRates,
    ServerStatistics,
    SinkFigures,
    Telemetry,
)
from finstream.vocabulary.market import MarketView

__all__ = ["Children", "Look", "LookFailedError", "Parts"]


class LookFailedError(Exception):
    """The machine does not let us look: it has no thread or no file descriptor left. The next look may succeed."""


class Children(Protocol):
    """What the supervisor tells of assets and sinks."""

    @property
    def assets(self) -> Sequence[Any]: ...

    @property
    def sinks(self) -> Sequence[Any]: ...


class Parts(NamedTuple):
    """Whom telemetry asks."""

    pump: Pump
    bus: Bus
    logs: Logs
    children: Callable[[], Children]
    health: Callable[[], Mapping[str, FeedStatistics]]
    clients: Callable[[], ClientsStatistics]
    memory: Callable[[], MemoryStatistics]
    dead_letters: Callable[[], DeadLetterStatistics]
    store: Callable[[], StoreStatistics]
    config: Callable[[], ConfigStatistics]
    servers: Callable[[], ServerStatistics]
    market: Callable[[], MarketView | None]
    hours: Callable[[str], Hours]


_OF_CHILD = tuple(name for name in ChildFigures.__struct_fields__ if name != "process")
_OF_ASSET = ("kind", "origin", "market", "wanted_by")
_OF_SINK = ("topics", "production", "cut_offs", "outbox")
_COUNTED = ("ticks", "lines", "bytes", "rejected", "questioned", "symbols", "seq")
_Found = Mapping[int, ProcessStatistics]


class Look:
    """``epoch`` and ``mode`` are the engine's."""

    def __init__(self, parts: Parts, *, epoch: str, mode: str) -> None:
        self._parts = parts
        self._epoch = epoch
        self._mode = mode
        self._processes = Processes()
        self._rates = Rates()
        self._started = trio.current_time()

    async def now(self) -> Telemetry:
        """One call at a time.

        Raises:
          LookFailedError: there is no telling how the machine is.
        """
        parts = self._parts
        children = parts.children()
        pids = [child.pid for child in (*children.assets, *children.sinks) if child.pid is not None]
        try:
            # In a thread: with hundreds of children, reading /proc would keep everybody else waiting.
            system, found = await trio.to_thread.run_sync(self._machine, pids)
        except (OSError, psutil.Error, RuntimeError) as error:  # RuntimeError is how Python says that no thread can be started
            raise LookFailedError(str(error)) from error
        self._rates.begin(trio.current_time())
        assets = {each.name: each for each in children.assets}
        places = {place.asset: place for place in arena_view.overall(parts.pump, assets, hours=parts.hours)}
        health = parts.health()
        clients = parts.clients()
        pump = parts.pump.statistics()
        return Telemetry(
            at=time.time_ns() // 1000,
            interval_s=round(self._rates.interval_s, 3),
            engine=f"finstream/{finstream.__version__}",
            epoch=self._epoch,
            mode=self._mode,
            uptime_s=round(trio.current_time() - self._started, 1),
            log_level=parts.logs.level,
            pump_running=parts.pump.running,
            system=system,
            pump=pump,
            rates=PumpRates(
                turns_per_s=self._rates.per_s("turns", pump.batches),
                lines_per_s=self._rates.per_s("lines", pump.lines),
                sends_per_s=self._rates.per_s("sends", pump.sends),
                deliveries_per_s=self._rates.per_s("deliveries", clients.totals.delivered),
                bytes_per_s=self._rates.per_s("bytes", clients.totals.sent_bytes),
            ),
            encryption=parts.pump.encryption(),
            assets=[self._asset(asset, found, health.get(asset.name), places.get(asset.name)) for asset in children.assets],
            sinks=[self._sink(sink, found) for sink in children.sinks],
            clients=clients,
            client_rates={client.uuid: self._delivery(client.uuid, client.outbox) for client in clients.listed},
            memory=parts.memory(),
            bus=parts.bus.statistics(),
            logs=parts.logs.statistics(),
            dead_letters=parts.dead_letters(),
            store=parts.store(),
            config=parts.config(),
            market=parts.market(),
            servers=parts.servers(),
        )

    def _machine(self, pids: list[int]) -> tuple[Any, _Found]:
        return self._processes.system(), self._processes.children(pids)

    def _asset(
        self, status: Any, found: _Found, health: FeedStatistics | None, place: ArenaPlace | None
    ) -> AssetFigures:
        handle = self._parts.pump.asset_handle(status.name)
        assert handle is not None  # the supervisor makes each of its assets known to the pump
        counted = self._parts.pump.asset_statistics(handle)
        key = ("asset", status.name)
        return AssetFigures(
            **_child(status, found),
            **{name: getattr(status, name) for name in _OF_ASSET},
            **{name: getattr(counted, name) for name in _COUNTED},
            ticks_per_s=self._rates.per_s((*key, "ticks"), counted.ticks),
            bytes_per_s=self._rates.per_s((*key, "bytes"), counted.bytes),
            rejected_per_s=self._rates.per_s((*key, "rejected"), sum(counted.rejected.values())),
            health=health,
            arena=place,
        )

    def _sink(self, status: Any, found: _Found) -> SinkFigures:
        own = {name: getattr(status, name) for name in _OF_SINK}
        rates = msgspec.structs.asdict(self._delivery(("sink", status.name, status.pid), status.outbox))
        return SinkFigures(**_child(status, found), **own, **rates)

    def _delivery(self, key: Any, outbox: OutboxStatistics | None) -> ClientRates:
        return ClientRates(
            deliveries_per_s=self._rates.per_s((key, "messages"), outbox.delivered if outbox else 0),
            bytes_per_s=self._rates.per_s((key, "bytes"), outbox.sent_bytes if outbox else 0),
        )


def _child(status: Any, found: _Found) -> dict[str, Any]:
    return {name: getattr(status, name) for name in _OF_CHILD} | {"process": found.get(status.pid)}
