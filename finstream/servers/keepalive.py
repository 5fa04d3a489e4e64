"""When to ask a silent client whether it is still there, and when to give it up. Pure: times in, decisions out."""

from __future__ import annotations

from enum import Enum

__all__ = ["GIVE_UP_S", "PING_AFTER_S", "Care", "care_for"]

PING_AFTER_S = 20.0
"""Silence after which a client is pinged, and pinged again."""
GIVE_UP_S = 60.0


class Care(Enum):
    NOTHING = "nothing"
    PING = "ping"
    GIVE_UP = "give up"


def care_for(now: float, heard_at: float, pinged_at: float, *, ping_after_s: float, give_up_s: float) -> Care:
    """``heard_at`` is when anything last came from the client, ``pinged_at`` when it was last pinged."""
    if now - heard_at >= give_up_s:
        return Care.GIVE_UP
    if now - max(heard_at, pinged_at) >= ping_after_s:
        return Care.PING
    return Care.NOTHING
