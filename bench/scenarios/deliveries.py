"""The highest rate that a system sustains, as deliveries per second, for 1, 100 and 1,000 subscribers."""

from __future__ import annotations

from bench.processes import TrialFailed
from bench.report.charts import Line, LinePoint, lines
from bench.report.plotted import plotted
from bench.results import Column, Outcome, Results, spread_of
from bench.scenarios.base import Point, Scenario, outcome_of
from bench.search import RateSearch
from bench.systems.base import StreamingSystem, System
from bench.workbench import Trial, Workbench

_P99_LIMIT_MS = 200.0
_MAX_LIMIT_MS = 1000.0
_WARM_UP_S = 0.3
_HINT_FACTOR = 1.5
"""The step of a search that begins where an earlier repeat of this run ended."""
_TIMED_PER_S = 50_000
_SAMPLES = (1, 3, 7, 17, 37, 71, 149, 307, 601)
"""Primes, so that what is timed does not always have the same place in the producer's bursts."""
_FIRST_RATES = {1: 8000.0, 100: 500.0, 1000: 60.0}


def sustained(trial: Trial) -> bool:
    """Everything sent, on time, and delivered to everybody, with no backlog: measured from when each tick was due.

    Stricter than a limit on lag alone: in a trial of 2 s a lag of 1 s would pass a rate half again as high as what can
    go on for ever.
    """
    production, due = trial.production, trial.receipt.due
    on_time = production.sent == production.target and production.elapsed_ns <= trial.seconds * 1.05e9 + 50e6
    return trial.complete and on_time and due.percentile(99) < _P99_LIMIT_MS * 1e6 and due.max_ns < _MAX_LIMIT_MS * 1e6


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, StreamingSystem)
    subscribers = int(point.parameter)
    hint = bench.hints.get((system.name, point.name))
    search = RateSearch(hint, factor=_HINT_FACTOR) if hint else RateSearch(_FIRST_RATES[subscribers])
    best, foreign = _search(bench, system, subscribers, search)
    bench.hints[system.name, point.name] = best.rate
    values = {
        "deliveries_per_s": best.deliveries_per_s,
        "ticks_per_s": best.rate,
        "cpu_us": best.cpu_us_per_delivery,
        "p50_us": best.receipt.due.percentile(50) / 1e3,
        "p99_us": best.receipt.due.percentile(99) / 1e3,
        "system_cores": best.system_cores,
        "load_cores": best.load_cores,
        "client_cores": best.client_cores,
        "sample_every": _sample_every(best.rate, subscribers),
        "memory_kib": best.memory_kib,
    }
    outcome = outcome_of(best, values)
    outcome.foreign_cores = foreign
    return outcome


def _search(bench: Workbench, system: StreamingSystem, subscribers: int, search: RateSearch) -> tuple[Trial, float]:
    """The best thorough trial, and the worst disturbance of all. A failure may leave a backlog, so the next attempt
    starts afresh.

    Raises TrialFailed when no rate was sustained, with the reason of the last failure.
    """
    seconds = bench.seconds(2.0)
    best: Trial | None = None
    foreign, why = 0.0, "no attempt"
    attempt = search.next()
    while attempt is not None:
        with bench.session(system, subscribers) as session:  # one that does not come up is no matter of the rate: not caught
            try:
                session.trial(min(attempt.rate, _FIRST_RATES[subscribers]), min(_WARM_UP_S, seconds))
                held = True
                while held and attempt is not None:
                    rate, thorough = attempt
                    trial = session.trial(rate, seconds if thorough else seconds / 2, sample_every=_sample_every(rate, subscribers))
                    held = sustained(trial)
                    foreign = max(foreign, trial.foreign_cores)
                    search.tell(attempt, held)
                    if not held:
                        why = trial.loss or f"at {rate:.0f} ticks/s it fell behind"
                    elif thorough and (best is None or rate > best.rate):
                        best = trial
                    attempt = search.next()
            except TrialFailed as error:
                assert attempt is not None
                why = str(error)
                search.tell(attempt, False)
                attempt = search.next()
    if best is None:
        raise TrialFailed(f"no rate was sustained: {why}")
    return best, foreign


def _sample_every(rate: float, subscribers: int) -> int:
    """Latency of every tick up to about 50,000 deliveries/s, beyond of so many that the client's own work stays small."""
    return next((every for every in _SAMPLES if every * _TIMED_PER_S >= rate * subscribers), _SAMPLES[-1])


def _plot(results: Results) -> str | None:
    shown = plotted(results, "deliveries", [point.name for point in _POINTS])
    drawn: list[Line] = []
    for system in dict.fromkeys(m.system for m in results.measurements if m.scenario == "deliveries"):
        points = [
            LinePoint(point.parameter, figure)
            for point in _POINTS
            if (figure := spread_of(shown.rows[point.name].get(system, []), "deliveries_per_s"))
        ]
        drawn.append(Line(system, points))
    return lines(
        title="Highest sustained deliveries per second", x_title="subscribers", y_title="deliveries/s", drawn=drawn, note=shown.note
    )


_POINTS = (
    Point("1", "1 subscriber", 1),
    Point("100", "100 subscribers", 100),
    Point("1000", "1,000 subscribers", 1000),
)

SCENARIOS = (
    Scenario(
        name="deliveries",
        order=30,
        title="Highest sustained rate",
        kind="streaming",
        points=_POINTS,
        columns=(
            Column("deliveries_per_s", "deliveries/s", 0, "higher"),
            Column("ticks_per_s", "ticks/s", 0, "higher"),
            Column("cpu_us", "CPU µs", 2, "lower"),
            Column("p50_us", "due p50 µs", 0, "lower"),
            Column("p99_us", "due p99 µs", 0, "lower"),
            Column("system_cores", "cores", 2),
            Column("load_cores", "load", 2),
            Column("client_cores", "client", 2),
            Column("sample_every", "timed 1 in", 0),
        ),
        headline="deliveries_per_s",
        measure=_measure,
        plots={"deliveries": _plot},
    ),
)
