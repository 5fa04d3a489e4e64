"""What happens to a subscription whose consumer does not keep up, and how much of it the consumer wants at all."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["MAX_RATE", "MIN_RATE", "PLAIN", "Policy", "Rate", "Trades", "WhenBehind"]

WhenBehind = Literal["kill", "skip", "conflate"]
Trades = Literal["keep", "conflate"]
MIN_RATE, MAX_RATE = 0.01, 1000.0
Rate = Annotated[float, msgspec.Meta(ge=MIN_RATE, le=MAX_RATE)]
"""In messages a second and symbol."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The choices for one subscription; the defaults are a subscription without any."""

    policy: WhenBehind = "kill"
    """When the consumer is behind: ``kill`` lets it go once too much or too old data waits; ``skip`` then drops what waits of this
    subscription and tells the gap; ``conflate`` keeps the newest quote of each symbol while anything waits."""
    trades: Trades = "keep"
    """Whether ``conflate`` may merge trades as well. If not, they wait, and the bounds of ``kill`` hold for them."""
    max_rate: Rate | None = None
    """Of the messages in between only the newest is sent, at the end of its interval; null: all are sent."""

    @property
    def merges(self) -> bool:
        """Messages may be left out in favour of newer ones."""
        return self.policy == "conflate" or self.max_rate is not None


PLAIN = Policy()
