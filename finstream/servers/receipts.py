"""The receipt of a connection: how it ended, and what its client missed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from finstream.pump import OutboxClosed, OutboxStatistics
from finstream.vocabulary.events import Receipt
from finstream.vocabulary.reasons import CLOSINGS

__all__ = ["make_receipt"]


def make_receipt(
    reason: str,
    *,
    detail: str,
    at: int,
    waiting: OutboxStatistics | None,
    final: OutboxStatistics | None,
    overflow: OutboxClosed | None,
    asset_name: Callable[[int], str],
) -> Receipt:
    """``waiting`` is the outbox just before it was removed, ``final`` what removing it returned. How much waited, and how
    long, is told as of the moment when the pump gave it up, if it did: ``overflow``."""
    queued_bytes, oldest_ms = (waiting.queued_bytes, waiting.oldest_ms) if waiting else (0, 0)
    if overflow is not None:
        queued_bytes, oldest_ms = overflow.queued_bytes, overflow.oldest_ms
    return Receipt(
        reason=reason,
        detail=detail or CLOSINGS[reason].text,
        at=at,
        queued_bytes=queued_bytes,
        queued_messages=final.killed if final else 0,
        oldest_ms=oldest_ms,
        delivered=final.delivered if final else 0,
        skipped=final.skipped if final else 0,
        conflated=final.conflated if final else 0,
        last_asset=asset_name(final.last_asset) if final and final.last_asset is not None else msgspec.UNSET,
        last_seq=final.last_seq if final and final.last_seq is not None else msgspec.UNSET,
    )
