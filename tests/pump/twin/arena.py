"""The ranking of sources by their lag."""

from __future__ import annotations

from dataclasses import dataclass

SECOND_NS = 1_000_000_000
SEVERITY_STEPS_NS = (1 * SECOND_NS, 5 * SECOND_NS, 15 * SECOND_NS, 60 * SECOND_NS)


@dataclass
class Place:
    """What the arena knows of one source."""

    ticks: int = 0
    lag_last_ns: int = 0
    lag_smoothed_ns: int = 0
    last_received_ns: int = 0

    @property
    def clock_error(self) -> bool:
        return self.lag_smoothed_ns < 0

    def score_ns(self, now_ns: int) -> int:
        return self.lag_smoothed_ns + max(0, now_ns - self.last_received_ns - SECOND_NS)

    def severity(self, now_ns: int) -> int:
        return sum(self.score_ns(now_ns) > step for step in SEVERITY_STEPS_NS)


class Arena:
    """Sources are known by any key; the order in which they are added breaks ties."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}

    def add(self, source: str) -> None:
        self.places.setdefault(source, Place())

    def tick(self, source: str, *, ts_ns: int, received_ns: int) -> None:
        place = self.places[source]
        lag_ns = received_ns - ts_ns
        if place.ticks == 0:
            place.lag_smoothed_ns = lag_ns
        else:
            place.lag_smoothed_ns += (lag_ns - place.lag_smoothed_ns) >> 4
        place.ticks += 1
        place.lag_last_ns = lag_ns
        place.last_received_ns = received_ns

    def ranking(self, now_ns: int) -> list[str]:
        """Best first."""

        def key(source: str) -> tuple[bool, bool, int]:
            place = self.places[source]
            return place.ticks == 0, place.clock_error, place.score_ns(now_ns)

        return sorted(self.places, key=key)
