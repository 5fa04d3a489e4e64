"""The systems under test: every module in this folder that has ``SYSTEMS`` adds what it names there."""

from __future__ import annotations

import importlib
import pkgutil

from bench.systems.base import System

__all__ = ["all_systems"]


def all_systems() -> dict[str, System]:
    """By name; FinStream first, since the others are compared with it, then in the order of the alphabet."""
    found: dict[str, System] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for system in getattr(importlib.import_module(module.name), "SYSTEMS", ()):
            found[system.name] = system
    return dict(sorted(found.items(), key=lambda item: (item[0] != "finstream", item[0])))
