"""Python's `websockets` with its broadcast: typed work by msgspec with Decimal, or a bare relay."""

from __future__ import annotations

from typing import Literal

from bench.setup import ROOT, python_for, versions_in
from bench.systems.fed import FedSystem


class Websockets(FedSystem):
    def __init__(self, name: str, work: Literal["typed", "relay"], note: str) -> None:
        self.name = name
        self.work = work
        self.note = note
        self.env = {"PYTHONPATH": str(ROOT)}

    def missing(self) -> str | None:
        return None if python_for("websockets", "msgspec") else "python -m bench --setup (or pip install websockets)"

    def versions(self) -> dict[str, str]:
        libraries = ("websockets", "msgspec") if self.work == "typed" else ("websockets",)
        return versions_in(python_for("websockets", "msgspec"), *libraries)

    def command(self, port: int) -> list[str]:
        return [str(python_for("websockets", "msgspec")), "-m", "bench.peers.websockets_server", str(port), self.work]


SYSTEMS = (
    Websockets(
        "websockets",
        "typed",
        "one asyncio process: msgspec with Decimal, then the library's broadcast; no bound on what is queued",
    ),
    Websockets("websockets-relay", "relay", "the same without looking at the ticks"),
)
