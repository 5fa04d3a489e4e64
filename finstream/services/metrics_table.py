"""Every metric with its meaning and where its value comes from. docs/telemetry.md repeats the table, and a test holds it to that.

Names follow Prometheus' conventions: base units (seconds, bytes), counters end in ``_total``. Those of the process bear the names
that all its client libraries give them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from finstream.pump import CHECKS_OF_QUALITY
from finstream.services.telemetry_view import AssetFigures, ChildFigures, SinkFigures, Telemetry
from finstream.vocabulary.reasons import CLOSINGS

__all__ = ["METRICS", "Metric", "Sample"]

Sample = tuple[tuple[str, ...], float | tuple[list[int], int]]
"""The labels' values, and the value; of a histogram its buckets and its sum."""
Samples = Callable[[Telemetry], Iterable[Sample]]


class Metric(NamedTuple):
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    samples: Samples


def _one(value: Callable[[Telemetry], Any]) -> Samples:
    return lambda view: [((), value(view))]


def _histogram(buckets: Callable[[Telemetry], list[int]], total: Callable[[Telemetry], int]) -> Samples:
    return lambda view: [((), (buckets(view), total(view)))]


def _counts(counts: Callable[[Telemetry], dict[str, int]]) -> Samples:
    return lambda view: [((name,), count) for name, count in counts(view).items()]


def _assets(value: Callable[[AssetFigures], Any]) -> Samples:
    """One sample for each asset; none where ``value`` gives None."""
    return lambda view: [((each.name,), found) for each in view.assets if (found := value(each)) is not None]


def _assets_by(counts: Callable[[AssetFigures], dict[str, int]]) -> Samples:
    return lambda view: [((each.name, name), count) for each in view.assets for name, count in counts(each).items()]


def _sinks(value: Callable[[SinkFigures], Any]) -> Samples:
    return lambda view: [((each.name,), found) for each in view.sinks if (found := value(each)) is not None]


def _children(value: Callable[[ChildFigures], Any]) -> Samples:
    def samples(view: Telemetry) -> Iterator[Sample]:
        for role, children in (("asset", view.assets), ("sink", view.sinks)):
            for child in children:
                if (found := value(child)) is not None:
                    yield (role, child.name), found

    return samples


def _states(view: Telemetry) -> Iterator[Sample]:
    for role, children in (("asset", view.assets), ("sink", view.sinks)):
        for child in children:
            yield (role, child.name, child.state), 1


def _assets_health(view: Telemetry) -> Iterator[Sample]:
    for asset in view.assets:
        if asset.health is not None:
            yield (asset.name, asset.health.state, asset.health.cause or "none"), 1


def _lag_quantiles(view: Telemetry) -> Iterator[Sample]:
    for asset in view.assets:
        for quantile, lag in _QUANTILES.items():
            if asset.arena is not None and (found_us := getattr(asset.arena, lag)) is not None:
                yield (asset.name, quantile), found_us / 1e6


def _stages(view: Telemetry) -> Iterator[Sample]:
    for stage in ("read", "take", "send", "tend"):
        yield (stage,), getattr(view.pump.stages, f"{stage}_ns") / 1e9


_LEVELS = ("normal", "soft", "hard")
_QUANTILES = {"0.5": "lag_p50_us", "0.9": "lag_p90_us", "0.99": "lag_p99_us"}

METRICS = (
    Metric("process_cpu_seconds_total", "counter", (), "CPU time of the engine's process, without its children.",
           _one(lambda view: view.system.engine.cpu_s)),
    Metric("process_resident_memory_bytes", "gauge", (), "Resident memory of the engine's process.",
           _one(lambda view: view.system.engine.memory_bytes)),
    Metric("process_open_fds", "gauge", (), "Open file descriptors of the engine's process.",
           _one(lambda view: view.system.engine.open_fds)),
    Metric("process_max_fds", "gauge", (), "How many file descriptors it may have open.",
           _one(lambda view: view.system.most_fds)),
    Metric("process_start_time_seconds", "gauge", (), "When it started, in seconds since the epoch.",
           _one(lambda view: view.system.started_at / 1e6)),
    Metric("finstream_info", "gauge", ("version", "mode"), "Always 1; the engine's version and mode.",
           lambda view: [((view.engine.removeprefix("finstream/"), view.mode), 1)]),
    Metric("finstream_ready", "gauge", (), "Whether readiness is given: 1 or 0.",
           _one(lambda view: int(not view.servers.not_ready))),
    # The pump
    Metric("finstream_pump_running", "gauge", (), "Whether the pump's thread is at work: 1 or 0.",
           _one(lambda view: int(view.pump_running))),
    Metric("finstream_pump_lines_total", "counter", (), "Lines read from ingestors.", _one(lambda view: view.pump.lines)),
    Metric("finstream_pump_sends_total", "counter", (), "System calls that sent something to a client or sink.",
           _one(lambda view: view.pump.sends)),
    Metric("finstream_pump_partial_sends_total", "counter", (),
           "Sends of which the kernel took a part only: the consumer is behind.",
           _one(lambda view: view.pump.partial_sends)),
    Metric("finstream_pump_sources", "gauge", (), "Ingestors' pipes that are read.", _one(lambda view: view.pump.sources)),
    Metric("finstream_pump_connections", "gauge", (), "Connections of the stream, those included that shake hands or leave.",
           _one(lambda view: view.pump.connections)),
    Metric("finstream_pump_untold_lines_total", "counter", (), "Rejected and status lines that were counted but told to nobody.",
           _one(lambda view: view.pump.events_dropped)),
    Metric("finstream_pump_turn_lines", "histogram", (), "Lines that one turn of the pump read; turns that read none are left out.",
           _histogram(lambda view: view.pump.turns_by_lines, lambda view: view.pump.lines)),
    Metric("finstream_pump_turn_sends", "histogram", (), "System calls that sent something in one turn, likewise.",
           _histogram(lambda view: view.pump.turns_by_sends, lambda view: view.pump.sends)),
    Metric("finstream_pump_sampled_turns_total", "counter", (), "Turns whose time was taken: one in 1,024.",
           _one(lambda view: view.pump.stages.turns)),
    Metric("finstream_pump_sampled_seconds_total", "counter", ("stage",),
           "What the time of those turns went to: read (pipes), take (parse, rank, encode), send, tend (all else).", _stages),
    # Assets and sinks
    Metric("finstream_child_state", "gauge", ("role", "name", "state"), "Always 1, for the state that the asset or sink is in.",
           _states),
    Metric("finstream_child_restarts_total", "counter", ("role", "name"), "How often it was started again after a failure.",
           _children(lambda child: child.restarts)),
    Metric("finstream_child_cpu_seconds_total", "counter", ("role", "name"), "CPU time of its present process.",
           _children(lambda child: child.process and child.process.cpu_s)),
    Metric("finstream_child_resident_memory_bytes", "gauge", ("role", "name"), "Resident memory of its present process.",
           _children(lambda child: child.process and child.process.memory_bytes)),
    Metric("finstream_child_open_fds", "gauge", ("role", "name"), "Open file descriptors of its present process.",
           _children(lambda child: child.process and child.process.open_fds)),
    Metric("finstream_asset_ticks_total", "counter", ("asset",), "Ticks published.", _assets(lambda asset: asset.ticks)),
    Metric("finstream_asset_lines_total", "counter", ("asset",), "Lines read, of all kinds.",
           _assets(lambda asset: asset.lines)),
    Metric("finstream_asset_received_bytes_total", "counter", ("asset",), "Bytes read.", _assets(lambda asset: asset.bytes)),
    Metric("finstream_asset_rejections_total", "counter", ("asset",), "Lines rejected, for whatever reason.",
           _assets(lambda asset: sum(asset.rejected.values()))),
    Metric("finstream_asset_rejected_lines_total", "counter", ("asset", "reason"), "Lines rejected, by reason.",
           _assets_by(lambda asset: asset.rejected)),
    Metric("finstream_asset_questioned_ticks_total", "counter", ("asset", "check"), "Ticks that a check of quality found.",
           # From the start, as the endings of connections: there are four checks.
           _assets_by(lambda asset: dict.fromkeys(CHECKS_OF_QUALITY, 0) | asset.questioned)),
    Metric("finstream_asset_symbols", "gauge", ("asset",), "Symbols named so far.", _assets(lambda asset: asset.symbols)),
    Metric("finstream_asset_wanted_by", "gauge", ("asset",), "Subscribers that want it.",
           _assets(lambda asset: asset.wanted_by)),
    Metric("finstream_asset_lag_seconds", "gauge", ("asset",), "Lag of its ticks, smoothed; negative: its clock is ahead of ours.",
           _assets(lambda asset: _scaled(asset.arena.lag_smoothed_us if asset.arena else None, 1e6))),
    Metric("finstream_asset_lag_quantile_seconds", "gauge", ("asset", "quantile"),
           "Lag that this share of its ticks of the last one to two minutes did not exceed.", _lag_quantiles),
    Metric("finstream_asset_silence_seconds", "gauge", ("asset",), "Since its last tick.",
           _assets(lambda asset: _scaled(asset.arena.silent_ms if asset.arena else None, 1e3))),
    Metric("finstream_asset_health", "gauge", ("asset", "state", "cause"),
           "Always 1, for what subscribers are told of the feed; absent while nothing is to be judged.",
           _assets_health),
    Metric("finstream_asset_severity", "gauge", ("asset",),
           "Of lag and silence: 0 healthy, 4 the worst; absent while it is at rest.",
           _assets(lambda asset: asset.arena and asset.arena.severity)),
    Metric("finstream_degraded_assets", "gauge", (), "Assets that are late or silent: of severity 1 or more.",
           _one(lambda view: sum(asset.arena is not None and asset.arena.degraded for asset in view.assets))),
    Metric("finstream_sink_delivered_messages_total", "counter", ("sink",), "Messages that its present process was given.",
           _sinks(lambda sink: sink.outbox and sink.outbox.delivered)),
    Metric("finstream_sink_queued_bytes", "gauge", ("sink",), "What waits for it.",
           _sinks(lambda sink: sink.outbox and sink.outbox.queued_bytes)),
    Metric("finstream_sink_cut_offs_total", "counter", ("sink",),
           "Processes given up because they read too slowly, or memory was short.",
           _sinks(lambda sink: sink.cut_offs)),
    # Clients
    Metric("finstream_clients", "gauge", ("state",), "Registered clients, by state.",
           lambda view: [(("connected",), view.clients.connected),
                         (("waiting",), view.clients.registered - view.clients.connected)]),
    Metric("finstream_connections_ended_total", "counter", ("reason",), "Connections of clients that ended, by reason.",
           # From the start: an increase from nothing at all to 1 is none for Prometheus.
           _counts(lambda view: dict.fromkeys(CLOSINGS, 0) | view.clients.endings)),
    Metric("finstream_delivered_messages_total", "counter", (), "Messages handed to the kernel, for clients and sinks.",
           _one(lambda view: view.clients.totals.delivered)),
    Metric("finstream_sent_bytes_total", "counter", (), "Bytes handed to the kernel, for clients and sinks.",
           _one(lambda view: view.clients.totals.sent_bytes)),
    Metric("finstream_undelivered_messages_total", "counter", ("cause",),
           "Messages that were skipped, conflated, or lost by a kill.",
           lambda view: [((cause,), getattr(view.clients.totals, cause)) for cause in ("skipped", "conflated", "killed")]),
    Metric("finstream_queued_bytes", "gauge", (), "What waits for clients and sinks.",
           _one(lambda view: view.clients.totals.queued_bytes)),
    Metric("finstream_queued_outboxes", "gauge", (), "For how many of them something waits.",
           _one(lambda view: view.clients.totals.waiting)),
    Metric("finstream_queued_oldest_seconds", "gauge", (), "The longest that anything waits.",
           _one(lambda view: view.clients.totals.oldest_ms / 1e3)),
    Metric("finstream_tls_connections", "gauge", (), "Connections of the stream with TLS.",
           _one(lambda view: view.encryption.open)),
    Metric("finstream_tls_failed_handshakes_total", "counter", (), "Handshakes of the stream that failed; absent without TLS.",
           lambda view: [] if view.servers.handshakes_failed is None else [((), view.servers.handshakes_failed)]),
    # Services
    Metric("finstream_memory_level", "gauge", (), "What waits is above: 0 no mark, 1 the soft one, 2 the hard one.",
           _one(lambda view: _LEVELS.index(view.memory.level))),
    Metric("finstream_memory_mark_bytes", "gauge", ("mark",), "The marks.",
           lambda view: [(("soft",), view.memory.soft_bytes), (("hard",), view.memory.hard_bytes)]),
    Metric("finstream_memory_evictions_total", "counter", (), "Clients and sinks let go because memory was short.",
           _one(lambda view: view.memory.evictions)),
    Metric("finstream_bus_events_total", "counter", (), "Events said on the system bus.",
           _one(lambda view: view.bus.published)),
    Metric("finstream_bus_dropped_events_total", "counter", (), "Events that a subscriber of the bus had no room for.",
           _one(lambda view: view.bus.dropped)),
    Metric("finstream_log_lines_total", "counter", (), "Log lines.", _one(lambda view: view.logs.emitted)),
    Metric("finstream_log_dropped_lines_total", "counter", (), "Log lines that could not be written.",
           _one(lambda view: view.logs.dropped)),
    Metric("finstream_dead_letters_total", "counter", (), "Rejected lines kept in the dead-letter file.",
           _one(lambda view: view.dead_letters.written)),
    Metric("finstream_dead_letters_lost_total", "counter", (), "Rejected lines that could not be kept.",
           _one(lambda view: view.dead_letters.lost)),
    Metric("finstream_store_failures_total", "counter", (), "Times that the state file could not be used.",
           _one(lambda view: view.store.failed_writes)),
    Metric("finstream_store_pending", "gauge", (), "Changes of clients that are not in the state file yet.",
           _one(lambda view: view.store.pending)),
    Metric("finstream_config_reloads_total", "counter", (), "Configurations applied since the start.",
           _one(lambda view: view.config.reloads)),
    Metric("finstream_config_rejections_total", "counter", (), "Configurations rejected since the start.",
           _one(lambda view: view.config.rejections)),
    Metric("finstream_market_status", "gauge", ("market", "status"), "Always 1, for the status that the stock market is in.",
           lambda view: [] if view.market is None else [((view.market.market, view.market.status), 1)]),
    Metric("finstream_noc_connections", "gauge", (), "Open connections of the NOC.",
           _one(lambda view: view.servers.noc_connections)),
    Metric("finstream_noc_dropped_total", "counter", (), "Connections of the NOC that were dropped because they did not read.",
           _one(lambda view: view.servers.noc_dropped)),
    Metric("finstream_commands_total", "counter", ("outcome",), "Commands that came over the NOC's WebSocket.",
           lambda view: [(("done",), view.servers.noc_commands), (("refused",), view.servers.noc_refused)]),
)  # fmt: skip


def _scaled(value: int | None, by: float) -> float | None:
    return None if value is None else value / by
