"""What was not passed on, counted by reason."""

from __future__ import annotations

from collections import Counter

from .outputs import Output, Status

__all__ = ["Tally"]


class Tally:
    """Counts of one run. A mapper counts ``ignored`` and ``unmapped``, the pipeline the rest."""

    def __init__(self) -> None:
        self.messages = 0
        self.trades = 0
        self.quotes = 0
        self.unreadable = 0
        self.gaps = 0
        self.lost = 0
        """Messages that the venue numbered and that never arrived."""
        self.ignored: Counter[str] = Counter()
        """By channel or kind of message."""
        self.unmapped: Counter[str] = Counter()
        """By the venue's name of the symbol."""

    def count_unmapped(self, raw_symbol: str) -> list[Output]:
        """Count a message of a symbol that is not mapped. Only the first one of the run gives a status line."""
        is_first = not self.unmapped
        self.unmapped[raw_symbol] += 1
        if not is_first:
            return []
        detail = f"{raw_symbol} is not in --symbols or --listing: messages of such symbols are counted, not passed on"
        return [Status("unmapped", detail)]

    def count_gap(self, missing: int, where: str) -> Status:
        """Count messages that the venue numbered and that did not come; ``where`` says before which one."""
        self.gaps += 1
        self.lost += missing
        return Status("gap", f"{missing} lost before {where}; {self.lost} lost in {self.gaps} gaps so far")

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{self.messages} messages: {self.trades} trades, {self.quotes} quotes"]
        if self.ignored:
            parts.append("ignored " + ", ".join(f"{kind} {count}" for kind, count in self.ignored.most_common(8)))
        if self.unmapped:
            parts.append(f"{self.unmapped.total()} of {len(self.unmapped)} unmapped symbols")
        if self.unreadable:
            parts.append(f"{self.unreadable} unreadable")
        if self.gaps:
            parts.append(f"{self.lost} lost in {self.gaps} gaps")
        return "; ".join(parts)
