"""What several scenarios share: the same stream without and with something beside it, in one session.

It is measured before, during and after; before and after together are the figure without.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.histogram import merge
from bench.results import Column, Outcome
from bench.scenarios.base import percentiles_of
from bench.workbench import Session

__all__ = ["COLUMNS", "compare"]

COLUMNS = (
    Column("p50_us", "p50", 0, "lower"),
    Column("p99_us", "p99", 0, "lower"),
    Column("p999_us", "p99.9", 0, "lower"),
    Column("without_p50_us", "p50 without", 0),
    Column("without_p99_us", "p99 without", 0),
    Column("without_p999_us", "p99.9 without", 0),
    Column("p99_ratio", "p99 ×", 2, "lower"),
    Column("p999_ratio", "p99.9 ×", 2, "lower"),
)


def compare(session: Session, rate: float, seconds: float, beside: Callable[[], AbstractContextManager[object]]) -> Outcome:
    """``beside`` is what makes the difference while its context is open."""
    before = session.trial(rate, seconds / 2)
    with beside():
        during = session.trial(rate, seconds)
    after = session.trial(rate, seconds / 2)
    without = merge([before.receipt.write, after.receipt.write])
    values = percentiles_of(during.receipt.write) | percentiles_of(without, prefix="without_")
    values |= {
        "p99_ratio": values["p99_us"] / values["without_p99_us"],
        "p999_ratio": values["p999_us"] / values["without_p999_us"],
        "cpu_us": during.cpu_us_per_delivery,
        "load_cores": during.load_cores,
    }
    trials = (before, during, after)
    return Outcome(
        values=values,
        histograms={"write": during.receipt.write, "without": without},
        complete=all(trial.complete for trial in trials),
        problem=next((trial.loss for trial in trials if trial.loss), None),
        foreign_cores=max(trial.foreign_cores for trial in trials),
    )
