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
    final: OutboxStatistics,
    overflow: OutboxClosed | None,
    asset_name: Callable[[int], str],
) -> Receipt:
    """``final`` is what removing the outbox returned. How much waited, and how long, is told as of the moment when the pump gave it
    up, if it did: ``overflow``."""
    waiting = overflow or final
    return Receipt(
        reason=reason,
        detail=detail or CLOSINGS[reason].text,
        at=at,
        queued_bytes=waiting.queued_bytes,
        queued_messages=final.killed,
        oldest_ms=waiting.oldest_ms,
        delivered=final.delivered,
        skipped=final.skipped,
        conflated=final.conflated,
        last_asset=asset_name(final.last_asset) if final.last_asset is not None else msgspec.UNSET,
        last_seq=final.last_seq if final.last_seq is not None else msgspec.UNSET,
    )
