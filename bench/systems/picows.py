"""picows with uvloop, the quickest WebSocket server for asyncio: typed work by msgspec with Decimal, or a bare relay."""

from __future__ import annotations

from typing import Literal

from bench.setup import ROOT, python_for, versions_in
from bench.systems.fed import FedSystem

_MODULES = ("picows", "uvloop", "msgspec")


class Picows(FedSystem):
    def __init__(self, name: str, work: Literal["typed", "relay"], note: str) -> None:
        self.name = name
        self.work = work
        self.note = note
        self.env = {"PYTHONPATH": str(ROOT)}

    def missing(self) -> str | None:
        return None if python_for(*_MODULES) else "python -m bench --setup (or pip install picows uvloop)"

    def versions(self) -> dict[str, str]:
        return versions_in(python_for(*_MODULES), *(_MODULES if self.work == "typed" else _MODULES[:2]))

    def command(self, port: int) -> list[str]:
        return [str(python_for(*_MODULES)), "-m", "bench.peers.picows_server", str(port), self.work]


SYSTEMS = (
    Picows("picows", "typed", "one uvloop process: msgspec with Decimal, then a send for each subscriber; no bound on queues"),
    Picows("picows-relay", "relay", "the same without looking at the ticks"),
)
