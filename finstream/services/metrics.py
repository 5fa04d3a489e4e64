"""The metrics as Prometheus reads them: its text format, version 0.0.4.

Label values come from the configuration and from our own lists of reasons and states, never from clients or from the market: so
their number is bounded, and nobody outside can make it grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from finstream.services.metrics_table import METRICS, Metric
from finstream.services.telemetry_view import Telemetry

__all__ = ["MEDIA_TYPE", "render"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(view: Telemetry) -> str:
    return "\n".join(line for metric in METRICS for line in _lines(metric, view)) + "\n"


def _lines(metric: Metric, view: Telemetry) -> Iterator[str]:
    yield f"# HELP {metric.name} {_escaped(metric.help)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for values, value in metric.samples(view):
        labels = dict(zip(metric.labels, values, strict=True))
        if isinstance(value, (int, float)):
            yield f"{metric.name}{_written(labels)} {_number(value)}"
        else:
            yield from _histogram(metric.name, labels, *value)


def _histogram(name: str, labels: dict[str, str], buckets: list[int], total: int) -> Iterator[str]:
    """``buckets`` have 1, 2, up to 4, up to 8, and so on; the last has the rest."""
    counts = list(accumulate(buckets))
    for power, count in enumerate(counts[:-1]):
        yield f"{name}_bucket{_written({**labels, 'le': f'{1 << power}.0'})} {count}"
    yield f"{name}_bucket{_written({**labels, 'le': '+Inf'})} {counts[-1]}"
    yield f"{name}_sum{_written(labels)} {total}"
    yield f"{name}_count{_written(labels)} {counts[-1]}"


def _written(labels: dict[str, str]) -> str:
    written = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return f"{{{written}}}" if written else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
