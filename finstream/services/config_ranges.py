"""The numbers of the configuration and the range each may have, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import Settings

__all__ = ["RANGES", "Range", "check_ranges"]

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_YEAR_MS = 366 * 24 * 3600 * 1000


class Range(NamedTuple):
    low: float
    high: float
    """Both included. The upper bounds only keep typing errors and overflows out."""


RANGES: dict[str, Range] = {
    "state.reconnect_window_s": Range(0.1, 30 * _DAY_S),
    "limits.outbox_bytes": Range(1024, 1 << 30),
    "limits.outbox_age_ms": Range(1, 3_600_000),
    "limits.line_bytes": Range(64, 65_536),
    "limits.clients": Range(1, 1_000_000),
    "limits.topics_per_client": Range(1, 1_000_000),
    # Less than a megabyte waits in a busy engine at any time, although everybody reads.
    "limits.memory_soft_bytes": Range(1 << 20, 1 << 40),
    "limits.memory_hard_bytes": Range(1 << 20, 1 << 40),
    "client_classes.*.priority": Range(0, 9),
    "telemetry.period_s": Range(1, 3600),
    "telemetry.summary_s": Range(1, _DAY_S),
    "dead_letters.max_bytes": Range(1024, 1 << 40),
    "dead_letters.files": Range(1, 1000),
    "market.poll_open_s": Range(1, _DAY_S),
    "market.poll_closed_s": Range(1, _DAY_S),
    "*.stop_grace_s": Range(0.0, _HOUR_S),
    "*.linger_s": Range(0.0, 30 * _DAY_S),
    "*.stdout_full_s": Range(0.1, _DAY_S),
    "*.priority": Range(0, 9),
    "*.quality.future_ms": Range(0, 100 * _YEAR_MS),
    "*.quality.max_age_ms": Range(1, 100 * _YEAR_MS),
    "*.quality.duplicate_window": Range(64, 1 << 16),
    "*.quality.band_pct": Range(0.001, 99.0),
    "*.quality.band_confirmations": Range(1, 1000),
    "*.restart.initial_s": Range(0.001, _DAY_S),
    "*.restart.max_s": Range(0.001, _DAY_S),
    "*.restart.stable_s": Range(0.001, 30 * _DAY_S),
    "*.restart.circuit_failures": Range(1, 1_000_000),
    "*.restart.circuit_window_s": Range(0.001, 30 * _DAY_S),
    "*.restart.circuit_cooldown_s": Range(0.001, 30 * _DAY_S),
}
"""By key; a first ``*`` stands for ``assets.NAME`` and ``sinks.NAME``, another one for any name. A test checks that no
number is left out."""


def check_ranges(settings: Settings) -> None:
    """
    Raises:
      ConfigError: a number is out of its range.
    """
    for section in ("state", "limits", "telemetry", "dead_letters", "market"):
        _check(section, section, getattr(settings, section))
    if settings.limits.memory_hard_bytes < settings.limits.memory_soft_bytes:
        remedy = f"write {settings.limits.memory_soft_bytes} or more"
        raise ConfigError("limits.memory_hard_bytes", "less than limits.memory_soft_bytes", remedy)
    for name, client_class in settings.client_classes.items():
        _check(f"client_classes.{name}", "client_classes.*", client_class)
    for kind, children in (("assets", settings.assets), ("sinks", settings.sinks)):
        for name, child in children.items():
            _check(f"{kind}.{name}", "*", child)
            if child.restart.max_s < child.restart.initial_s:
                remedy = f"write {_plain(child.restart.initial_s)} or more"
                raise ConfigError(f"{kind}.{name}.restart.max_s", "less than restart.initial_s", remedy)


def _check(where: str, key: str, struct: msgspec.Struct) -> None:
    for below, value in _numbers(struct):
        low, high = RANGES[f"{key}.{below}"]
        if not low <= value <= high:
            problem = f"{_plain(value)} is out of range"
            raise ConfigError(f"{where}.{below}", problem, f"write {_plain(low)} to {_plain(high)}")


def _numbers(struct: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, float]]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _numbers(value, f"{prefix}{field.name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield prefix + field.name, value


def _plain(number: float) -> str:
    return f"{number:g}" if abs(number) < 1e6 else f"{int(number)}"
