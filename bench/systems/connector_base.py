"""What turns a venue's raw messages into ingestor lines."""

from __future__ import annotations

import abc

from bench.systems.base import System

__all__ = ["ConnectorSystem"]


class ConnectorSystem(System):
    """Normalises trade messages of venues, in one thread."""

    @abc.abstractmethod
    def normalise(self, venue: str, messages: list[bytes], repeat: int) -> tuple[int, int]:
        """Turn all messages into lines and write those to /dev/null, ``repeat`` times, each time from a fresh start.

        Returns the CPU time of this (ns), and how many trades were written. What is no part of it is not in the time.
        """
