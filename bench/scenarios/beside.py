"""What several scenarios share: the same stream without and with something beside it, in one session.

The two take turns, and each percentile is the median of its trials: a tail of one trial is mostly what the machine did in it,
twice as long in one as in the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

from bench.histogram import merge
from bench.results import DISTURBED_CORES, Column, Outcome
from bench.scenarios.base import percentiles_of
from bench.systems.base import ControlledSystem, ControlPlane, System
from bench.workbench import Session, Trial, Workbench

__all__ = ["COLUMNS", "compare", "controlled"]

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


def compare(
    session: Session, rate: float, seconds: float, beside: Callable[[], AbstractContextManager[object]], *, rounds: int
) -> Outcome:
    """``beside`` is what makes the difference while its context is open: in every other trial of ``2 * rounds``, which take
    ``seconds`` each way. A pair that other programs disturbed is taken again, as long as no more are than there are rounds."""
    trials: list[Trial] = []
    without: list[Trial] = []
    during: list[Trial] = []
    again = rounds
    while len(during) < rounds:
        plain = session.trial(rate, seconds / rounds)
        with beside():
            other = session.trial(rate, seconds / rounds)
        trials += [plain, other]
        if again and max(plain.foreign_cores, other.foreign_cores) > DISTURBED_CORES:
            again -= 1
            continue
        without.append(plain)
        during.append(other)
    values = _medians(during) | _medians(without, prefix="without_")
    values |= {
        "p50_ratio": values["p50_us"] / values["without_p50_us"],
        "p99_ratio": values["p99_us"] / values["without_p99_us"],
        "p999_ratio": values["p999_us"] / values["without_p999_us"],
        "cpu_us": median(trial.cpu_us_per_delivery for trial in during),
        "without_cpu_us": median(trial.cpu_us_per_delivery for trial in without),
        "load_cores": median(trial.load_cores for trial in during),
    }
    return Outcome(
        values=values,
        histograms={
            "write": merge([trial.receipt.write for trial in during]),
            "without": merge([trial.receipt.write for trial in without]),
        },
        complete=all(trial.complete for trial in trials),
        problem=next((trial.loss for trial in trials if trial.loss), None),
        foreign_cores=max(trial.foreign_cores for trial in without + during),
    )


@contextmanager
def controlled(bench: Workbench, system: System, subscribers: int) -> Iterator[tuple[Session, ControlPlane, Path]]:
    """A session, the control plane of its system, and a folder for what keeps that one busy.

    The floor has no control plane: it streams beside an engine that streams nothing, which is there, and idle, in the
    measurements without noise too. So its ratio is what the machine does to any stream.
    """
    assert isinstance(system, ControlledSystem)
    with (
        bench.folder() as directory,
        bench.session(system, subscribers) as session,
        system.control_plane(session.system, directory) as plane,
    ):
        session.helpers += plane.pids
        yield session, plane, directory


def _medians(trials: list[Trial], prefix: str = "") -> dict[str, float]:
    """Of each percentile, over the trials."""
    each = [percentiles_of(trial.receipt.write, prefix=prefix) for trial in trials]
    return {name: median(values[name] for values in each) for name in each[0]}
