"""What a new configuration would change, as data."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from finstream.vocabulary.settings import LIVE_KEYS, AssetSettings, Settings, SinkSettings

__all__ = ["Plan", "plan", "with_engine_keys_of"]

_CHILDREN = ("assets", "sinks")
_HOT = (
    "logs.level", "limits.memory_soft_bytes", "limits.memory_hard_bytes", "client_classes", "restart_at",
    "telemetry.period_s", "telemetry.summary_s", "market.url", "market.poll_open_s", "market.poll_closed_s", "market.simulate",
)  # fmt: skip
"""Keys, besides those of assets and sinks, that take effect at once."""

_Children = dict[str, AssetSettings | SinkSettings]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Names are those of assets and sinks, in the order of the configuration; no name is both."""

    started: list[str]
    """New ones. An asset with ``start: on_demand`` runs once somebody wants it."""
    stopped: list[str]
    """Those that are gone."""
    restarted: list[str]
    """Those with a key changed that needs a new process."""
    unchanged: list[str]
    """Those whose process, if it runs, goes on undisturbed."""
    hot: list[str] = []
    """Keys that changed and take effect at once, restarting nothing: ``logs.level``, ``assets.binance.linger_s``."""
    needs_engine_restart: list[str] = []
    """Keys that changed and take effect when the engine starts again."""


def plan(old: Settings | None, new: Settings) -> Plan:
    """What goes from ``old`` to ``new``; None: nothing runs yet."""
    before = {} if old is None else _children(old)
    after = _children(new)
    kept = [name for name in after if name in before]
    restarted = [name for name in kept if _needs_new_process(before[name], after[name])]
    unchanged = [name for name in kept if name not in restarted]
    changed = [] if old is None else list(_changed_keys(old, new))
    return Plan(
        started=[name for name in after if name not in before],
        stopped=[name for name in before if name not in after],
        restarted=restarted,
        unchanged=unchanged,
        hot=[key for key in changed if key in _HOT] + list(_live_keys(old, new, unchanged)),
        needs_engine_restart=[key for key in changed if key not in _HOT],
    )


def with_engine_keys_of(running: Settings, new: Settings) -> Settings:
    """``new`` as far as it can take effect while the engine runs; everything else as in ``running``."""
    replace = msgspec.structs.replace
    marks = {key: getattr(new.limits, key) for key in ("memory_soft_bytes", "memory_hard_bytes")}
    return replace(
        running, assets=new.assets, sinks=new.sinks, logs=new.logs, telemetry=new.telemetry, client_classes=new.client_classes,
        limits=replace(running.limits, **marks), market=new.market, restart_at=new.restart_at,
    )  # fmt: skip


def _children(settings: Settings) -> _Children:
    return {**settings.assets, **settings.sinks}


def _needs_new_process(before: msgspec.Struct, after: msgspec.Struct) -> bool:
    # An asset that becomes a sink of the same name is another thing altogether.
    return type(before) is not type(after) or any(
        getattr(before, key) != getattr(after, key) for key in before.__struct_fields__ if key not in LIVE_KEYS
    )


def _live_keys(old: Settings | None, new: Settings, unchanged: list[str]) -> Iterator[str]:
    for kind in _CHILDREN if old is not None else ():
        before, after = getattr(old, kind), getattr(new, kind)
        for name in unchanged:
            if name in after:
                yield from _changed_keys(before[name], after[name], f"{kind}.{name}.")


def _changed_keys(old: msgspec.Struct, new: msgspec.Struct, prefix: str = "") -> Iterator[str]:
    for name in old.__struct_fields__:
        if not prefix and name in _CHILDREN:
            continue
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, msgspec.Struct):
            yield from _changed_keys(before, after, f"{prefix}{name}.")
        elif before != after:
            yield prefix + name
