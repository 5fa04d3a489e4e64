"""What a venue means when it refuses us over HTTP."""

from __future__ import annotations

import email.utils
import time
from typing import Final

__all__ = ["refusal_pause_s"]

_PAUSE_S: Final = {418: 120.0, 429: 30.0}
"""Too many requests, and a ban for going on regardless: the least pause where the venue does not say how long."""


def refusal_pause_s(status: int, retry_after: str | None, *, now_s: float | None = None) -> float:
    """How long to stay away at least, by the status and the Retry-After header (seconds or a date).

    ``now_s`` is the time in seconds since the epoch, by default now.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if text:
        try:
            until_s = email.utils.parsedate_to_datetime(text).timestamp()
        except ValueError:
            pass  # neither form: as if it were not there
        else:
            return max(0.0, until_s - (time.time() if now_s is None else now_s))
    return _PAUSE_S.get(status, 0.0)
