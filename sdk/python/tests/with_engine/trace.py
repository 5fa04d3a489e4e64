"""What a client surfaced, in order, and what scenarios ask about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def matches(pattern: Any, value: Any) -> bool:
    """As the suite's README defines patterns."""
    if isinstance(pattern, dict):
        if len(pattern) == 1 and next(iter(pattern)).startswith("$"):
            ((name, wanted),) = pattern.items()
            return _TESTS[name](wanted, value)
        return isinstance(value, dict) and all(matches(one, value.get(name)) for name, one in pattern.items())
    return type(pattern) is type(value) and pattern == value


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda wanted, value: isinstance(value, int | float) and value > wanted,
    "$at_most": lambda wanted, value: isinstance(value, int | float) and value <= wanted,
    "$not": lambda wanted, value: not matches(wanted, value),
    "$in": lambda wanted, value: any(matches(one, value) for one in wanted),
    "$has": lambda wanted, value: isinstance(value, list) and wanted in value,
    "$length": lambda wanted, value: isinstance(value, list) and len(value) == wanted,
    "$any": lambda wanted, value: (value is not None) == wanted,
}


class Trace:
    """Filled by one thread, asked by another."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._grown = threading.Condition()
        self._cursor = 0

    def add(self, item: dict[str, Any]) -> None:
        with self._grown:
            self.items.append(item)
            self._grown.notify_all()

    def expect(self, pattern: Any, never: list[Any], within_s: float) -> dict[str, Any]:
        for item in self._read_on(within_s, f"no {pattern}"):
            for forbidden in never:
                assert not matches(forbidden, item), f"{item} on the way to {pattern}"
            if matches(pattern, item):
                return item
        raise AssertionError("unreachable")

    def count(self, pattern: Any, distinct: str | None, at_least: int, within_s: float) -> None:
        seen = set()
        for number, item in enumerate(self._read_on(within_s, f"too few {pattern}")):
            if matches(pattern, item):
                seen.add(number if distinct is None else item[distinct])
            if len(seen) >= at_least:
                return

    def none(self, pattern: Any) -> None:
        found = [item for item in list(self.items) if matches(pattern, item)]
        assert not found, found

    def accounted(self, asset: str) -> None:
        last, whole = None, False
        told: list[tuple[int, int]] = []
        checked = 0
        for item in list(self.items):
            match item:
                case {"notice": "connected", "new_epoch": True}:
                    last, told = None, []
                case {"type": "welcome", "topics": topics}:
                    whole = asset in topics
                case {"type": "subscribed", "topics": topics} if asset in topics:
                    whole = True
                case {"type": "unsubscribed", "topics": topics} if asset in topics:
                    whole, last, told = False, None, []
                case {"notice": "lost", "asset": name} | {"type": "gap", "asset": name} if name == asset:
                    told.append((item["first_seq"], item["last_seq"]))
                    assert item["count"] == item["last_seq"] - item["first_seq"] + 1, item
                case {"seq": seq, "asset": name} if name == asset and whole:
                    if last is not None:
                        assert seq > last, f"{seq} after {last}"
                        missing = list(range(last + 1, seq))
                        ranges = [number for first, end in sorted(told) for number in range(first, end + 1)]
                        assert missing == ranges, f"{last} to {seq}, told {told}"
                        checked += 1
                    last, told = seq, []
        assert checked > 0, f"nothing of {asset} could be checked"

    def _read_on(self, within_s: float, complaint: str) -> Any:
        deadline = time.monotonic() + within_s
        while True:
            with self._grown:
                there = self._grown.wait_for(lambda: len(self.items) > self._cursor, max(0, deadline - time.monotonic()))
            assert there, f"{complaint}; the last items: {[str(item)[:200] for item in self.items[-8:]]}"
            item = self.items[self._cursor]
            self._cursor += 1
            yield item
