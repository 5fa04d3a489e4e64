"""Which messages never came.

The engine numbers the messages of each asset: 1, 2, 3, … within an epoch. Whoever is subscribed to the whole asset, and
did not ask for messages to be merged, gets each number once; those that are missing were lost, unless a ``gap`` message
told them. Over single symbols nothing can be said: the missing numbers belong to others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from finstream_client.messages import Choices, Gap
from finstream_client.notices import Lost

__all__ = ["SequenceCheck"]


class SequenceCheck:
    """What the engine has us subscribed to, and the last number of each whole asset."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        """Of the assets that are checked; 0 is never a number, and stands for "begins anywhere"."""
        self._told: dict[str, list[tuple[int, int]]] = {}

    def forget(self) -> None:
        """Another epoch: numbers begin anew."""
        self.last.clear()
        self._told.clear()

    def keep_only(self, topics: Iterable[str]) -> None:
        for asset in self.last.keys() - set(topics):
            self.drop((asset,))

    def add(self, topics: Iterable[str], choices: Choices) -> None:
        if choices.merges:
            self.drop(topics)
            return
        for topic in topics:
            if ":" not in topic:
                self.last.setdefault(topic, 0)

    def drop(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self.last.pop(topic, None)
            self._told.pop(topic, None)

    def told(self, gap: Gap) -> None:
        """The engine said itself that these will not come."""
        if gap.asset in self.last:
            self._told.setdefault(gap.asset, []).append((gap.first_seq, gap.last_seq))

    def missing(self, asset: str, seq: int) -> Iterator[Lost]:
        """``seq`` came, and is not the next number: what is missing before it. Call it only for assets in ``last``."""
        last = self.last[asset]
        told = sorted(self._told.pop(asset, ()))
        if seq <= last:
            return
        self.last[asset] = seq
        if last == 0:
            return
        first = last + 1
        for gap_first, gap_last in [*told, (seq, seq)]:
            if first < gap_first:
                until = min(gap_first, seq) - 1
                yield Lost(asset=asset, first_seq=first, last_seq=until, count=until - first + 1)
            first = max(first, gap_last + 1)
            if first > seq:
                return
