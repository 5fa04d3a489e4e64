"""The producer at full speed: how many ticks a second are taken in, worked on and delivered to one subscriber."""

from __future__ import annotations

from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario, outcome_of
from bench.systems.base import StreamingSystem, System
from bench.workbench import Workbench

_WARM_UP_S = 0.3
_SAMPLE_EVERY = 17


def _measure(bench: Workbench, system: System, _point: Point) -> Outcome:
    """Without the ``due`` latency: there is no schedule. A system that loses ticks has no rate here."""
    assert isinstance(system, StreamingSystem)
    seconds = bench.seconds(3.0)
    with bench.session(system, 1) as session:
        session.trial(1000.0, min(_WARM_UP_S, seconds))
        trial = session.trial(0, seconds, sample_every=_SAMPLE_EVERY)
    receipt = trial.receipt
    span_s = max(receipt.last_receipt_ns - receipt.first_receipt_ns, 1) / 1e9
    values = {
        "taken_per_s": trial.production.sent / (trial.production.elapsed_ns / 1e9),
        "cpu_us": trial.system_cpu_s * 1e6 / max(1, trial.production.sent),
        "p50_us": receipt.write.percentile(50) / 1e3,
        "system_cores": trial.system_cores,
        "load_cores": trial.load_cores,
        "client_cores": trial.client_cores,
        "memory_kib": trial.memory_kib,
    }
    if trial.complete:
        values["ticks_per_s"] = receipt.messages / max(span_s, trial.production.elapsed_ns / 1e9)
    return outcome_of(trial, values)


SCENARIOS = (
    Scenario(
        name="pipe",
        order=28,
        title="Producer at full speed",
        kind="streaming",
        points=(Point("1", "1 subscriber", 1),),
        columns=(
            Column("ticks_per_s", "delivered/s", 0, "higher"),
            Column("taken_per_s", "taken/s", 0, "higher"),
            Column("cpu_us", "CPU µs/tick", 2, "lower"),
            Column("p50_us", "p50 µs", 0),
            Column("system_cores", "cores", 2),
            Column("load_cores", "load", 2),
            Column("client_cores", "client", 2),
        ),
        headline="ticks_per_s",
        measure=_measure,
        plots={},
    ),
)
