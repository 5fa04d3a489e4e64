"""What happens to a subscription whose consumer does not keep up, and how much of it the consumer wants at all."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["PLAIN", "Policy"]


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The choices for one subscription; the defaults are a subscription without any."""

    policy: Literal["kill", "skip", "conflate"] = "kill"
    """When the consumer is behind: ``kill`` lets it go once too much or too old data waits; ``skip`` then drops what waits of this
    subscription and tells the gap; ``conflate`` keeps the newest quote of each symbol while anything waits."""
    trades: Literal["keep", "conflate"] = "keep"
    """Whether ``conflate`` may merge trades as well. If not, they wait, and the bounds of ``kill`` hold for them."""
    max_rate: float | None = None
    """Messages a second and symbol; of those in between only the newest is sent, at the end of its interval."""


PLAIN = Policy()
