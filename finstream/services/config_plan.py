"""What a new configuration would change, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from finstream.vocabulary.settings import Settings

__all__ = ["Plan", "plan", "with_engine_keys_of"]

_CHILDREN = ("assets", "sinks")
_HOT = ("logs.level",)
"""Keys, besides those of assets and sinks, that take effect at once."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Names are those of assets and sinks, in the order of the configuration; no name is both."""

    started: list[str]
    """New ones. An asset with ``start: on_demand`` runs once somebody wants it."""
    stopped: list[str]
    """Those that are gone."""
    restarted: list[str]
    """Those with any key changed."""
    unchanged: list[str]
    """Those that are left as they run."""
    hot: list[str] = []
    """Other keys that changed and take effect at once."""
    needs_engine_restart: list[str] = []
    """Keys that changed and take effect when the engine starts again."""


def plan(old: Settings | None, new: Settings) -> Plan:
    """What goes from ``old`` to ``new``; None: nothing runs yet."""
    before, after = _children(old), _children(new)
    kept = [name for name in after if name in before]
    changed = [] if old is None else list(_changed_keys(old, new))
    return Plan(
        started=[name for name in after if name not in before],
        stopped=[name for name in before if name not in after],
        restarted=[name for name in kept if before[name] != after[name]],
        unchanged=[name for name in kept if before[name] == after[name]],
        hot=[key for key in changed if key in _HOT],
        needs_engine_restart=[key for key in changed if key not in _HOT],
    )


def with_engine_keys_of(running: Settings, new: Settings) -> Settings:
    """``new`` as far as it can take effect while the engine runs; everything else as in ``running``."""
    return msgspec.structs.replace(running, assets=new.assets, sinks=new.sinks, logs=new.logs)


def _children(settings: Settings | None) -> Mapping[str, msgspec.Struct]:
    return {} if settings is None else {**settings.assets, **settings.sinks}


def _changed_keys(old: msgspec.Struct, new: msgspec.Struct, prefix: str = "") -> Iterator[str]:
    for name in old.__struct_fields__:
        if not prefix and name in _CHILDREN:
            continue
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, msgspec.Struct):
            yield from _changed_keys(before, after, f"{prefix}{name}.")
        elif before != after:
            yield prefix + name
