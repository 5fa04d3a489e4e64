"""msgspec with Decimal: the fastest way to exact, validated ticks that Python offers from a package index."""

from __future__ import annotations

import importlib.util
import time

from bench.peers.typed_ticks import typed_transform
from bench.systems.base import ParsingSystem, versions_of


class MsgspecDecimal(ParsingSystem):
    name = "msgspec-decimal"
    work = "typed"
    note = "does not rank, number or rename, keeps decimals in their own form and drops members it does not know"

    def missing(self) -> str | None:
        return None if importlib.util.find_spec("msgspec") else "pip install msgspec"

    def versions(self) -> dict[str, str]:
        return versions_of("msgspec")

    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        transform = typed_transform()
        accepted = 0
        began = time.thread_time_ns()
        for _ in range(repeat):
            for line in lines.split(b"\n"):
                if line and transform(line) is not None:
                    accepted += 1
        return time.thread_time_ns() - began, accepted


SYSTEMS = (MsgspecDecimal(),)
