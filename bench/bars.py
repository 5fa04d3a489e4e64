"""The bars: what FinStream is held to, as ratios within one run. A bar is data; the results of a run tell whether it is met.

Two references are meant by name: ``floor`` is ours, ``rust`` is the Rust gateway that the bars are about (tokio,
serde_json, rust_decimal). It is no part of this project: describe it in a file for ``--external`` under that name.
"""

from __future__ import annotations

from operator import truediv

from bench.results import Results
from bench.verdicts import Bar, Figure, Verdict, verdict_on

__all__ = ["BARS", "judge"]

_SUBJECT = "finstream"


def judge(results: Results) -> list[Verdict]:
    """All bars, in their order."""
    return [verdict_on(bar, results) for bar in BARS]


def _absolute(scenario: str, point: str, key: str, subject: str = _SUBJECT) -> Figure:
    return Figure(scenario, key, ((point, subject),))


def _against(scenario: str, point: str, key: str, other: str, *, inverse: bool = False, subject: str = _SUBJECT) -> Figure:
    """Ours (or another ``subject``'s) divided by the other's, repeat by repeat; ``inverse``: the other's by ours."""
    places = ((point, subject), (point, other))
    return Figure(scenario, key, places[::-1] if inverse else places, truediv)


def _across(scenario: str, key: str, few: str, many: str) -> Figure:
    """Our figure at one point divided by that at another."""
    return Figure(scenario, key, ((many, _SUBJECT), (few, _SUBJECT)), truediv)


def _fan_out_bars() -> list[Bar]:
    points = {"100x2000": "100 × 2,000/s", "1000x200": "1,000 × 200/s"}
    bars = [
        Bar(f"p99 latency, {title}: against Rust", _against("fan-out", point, "p99_us", "rust"), "≤", 1.0, "×", 2)
        for point, title in points.items()
    ]
    return bars + [
        Bar(f"CPU per delivery, {title}: against the floor", _against("fan-out", point, "cpu_us", "floor"), "≤", 1.1, "×", 2)
        for point, title in points.items()
    ]


def _sustained_bars() -> list[Bar]:
    bars = []
    for point, title in {"100": "100", "1000": "1,000"}.items():
        for other, name, limit in (("floor", "the floor", 0.9), ("rust", "Rust", 1.5)):
            figure = _against("deliveries", point, "deliveries_per_s", other)
            bars.append(Bar(f"highest sustained deliveries/s, {title} subscribers: against {name}", figure, "≥", limit, "×", 2))
    return bars


BARS = (
    Bar("parse to encode, ~145-byte lines, one core", _absolute("parse", "typical", "ns_per_tick"), "≤", 150, " ns", 0),
    Bar("parse to encode: Rust takes", _against("parse", "typical", "ns_per_tick", "rust", inverse=True), "≥", 4, "×", 2),
    Bar(
        "parse to encode: msgspec with Decimal takes",
        _against("parse", "typical", "ns_per_tick", "msgspec-decimal", inverse=True), "≥", 12, "×", 1,
    ),
    Bar("all checks of quality together", _absolute("quality-and-arena", "checks", "more_ns"), "≤", 60, " ns", 0),
    Bar("… the arena's contests", _absolute("quality-and-arena", "matched", "more_ns"), "≤", None, " ns", 0),
    Bar("… the best source as well", _absolute("quality-and-arena", "best", "more_ns"), "≤", None, " ns", 0),
    Bar("ticks/s taken in and delivered to 1: against the floor", _against("pipe", "1", "ticks_per_s", "floor"), "≥", 0.8, "×", 2),
    Bar("median latency, 1 subscriber, 1,000/s: against Rust", _against("latency", "1", "p50_us", "rust"), "≤", 1.0, "×", 2),
    Bar("median latency, 1 subscriber, 1,000/s: against the floor", _against("latency", "1", "p50_us", "floor"), "≤", 1.1, "×", 2),
    *_fan_out_bars(),
    *_sustained_bars(),
    Bar(
        "highest sustained deliveries/s, 100 subscribers: with TLS against without",
        _against("deliveries", "100", "deliveries_per_s", "finstream-wss", inverse=True), "≥", 0.5, "×", 2,
    ),
    Bar(
        "… the floor's: with OpenSSL against without",
        _against("deliveries", "100", "deliveries_per_s", "floor-wss", inverse=True, subject="floor"), "≥", None, "×", 2,
    ),
    Bar(
        "… with TLS: against the floor with OpenSSL",
        _against("deliveries", "100", "deliveries_per_s", "floor-wss", subject="finstream-wss"), "≥", None, "×", 2,
    ),
    *(
        Bar(
            f"trade messages/s of one connector on one core, {venue.capitalize()}",
            _absolute("connectors", venue, "messages_per_s", "ingestors"), "≥", 50_000, "/s", 0,
        )
        for venue in ("binance", "coinbase", "kraken", "okx")
    ),
    Bar("memory per idle connection at 10,000", _absolute("idle", "10000", "kib_each"), "≤", 4, " KiB", 2),
    Bar("reconnect storm of 2,000", _absolute("storm", "2000", "reconnects_per_s"), "≥", 2000, "/s", 0),
    Bar("reconnect storm: p99 of others against before", _absolute("storm", "2000", "p99_ratio"), "≤", 2, "×", 2),
    Bar("p99.9 with control-plane noise against without", _absolute("noise", "10", "p999_ratio"), "≤", 1.3, "×", 2),
    Bar("… the floor's, with the same noise beside it", _absolute("noise", "10", "p999_ratio", "floor"), "≤", None, "×", 2),
    Bar("p99 with full telemetry every second against without", _absolute("telemetry", "10", "p99_ratio"), "≤", 1.05, "×", 2),
    Bar("… the floor's, with the same telemetry beside it", _absolute("telemetry", "10", "p99_ratio", "floor"), "≤", None, "×", 2),
    Bar("… p99.9", _absolute("telemetry", "10", "p999_ratio"), "≤", None, "×", 2),
    Bar("… the floor's p99.9", _absolute("telemetry", "10", "p999_ratio", "floor"), "≤", None, "×", 2),
    Bar("cost of a tick, 10,000 assets against 10", _absolute("assets", "10000", "over_few"), "≤", 1.3, "×", 2),
    Bar("cost of a delivery, 1,000 subscribers against 10", _across("fan-out", "cpu_us", "10x200", "1000x200"), "≤", 1.2, "×", 2),
    Bar("one stalled client: others' p99 against without", _absolute("stalled", "100", "p99_ratio"), "≤", 1.1, "×", 2),
    Bar("CPU of a plain delivery: with policies beside it", _absolute("policies", "2000", "cpu_ratio"), "≤", 1.05, "×", 3),
    Bar("… at 40,000 ticks/s, with the work for those policies", _absolute("policies", "40000", "cpu_ratio"), "≤", None, "×", 3),
    Bar("first tick over the process's own start", _absolute("first-tick", "shell", "over_ms"), "≤", 100, " ms", 1),
    *(
        Bar(
            f"raw messages/s that the Python SDK receives in one process, {face}",
            _absolute("sdk", f"{face}-raw", "received_per_s"), "≥", 200_000, "/s", 0,
        )
        for face in ("sync", "asyncio", "trio")
    ),
)  # fmt: skip
