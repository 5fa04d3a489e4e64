"""What is measured: every module in this folder that has ``SCENARIOS`` adds what it names there."""

from __future__ import annotations

import importlib
import pkgutil

from bench.scenarios.base import Scenario

__all__ = ["all_scenarios"]


def all_scenarios() -> dict[str, Scenario]:
    """By name, in the order in which they are run and printed."""
    found: list[Scenario] = []
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        found += getattr(importlib.import_module(module.name), "SCENARIOS", ())
    return {scenario.name: scenario for scenario in sorted(found, key=lambda s: (s.order, s.name))}
