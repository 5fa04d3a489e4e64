"""What all connections of the stream share."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from finstream.pump import Pump
from finstream.servers.origins import Origins
from finstream.services.logs import Logger
from finstream.services.sessions import Sessions
from finstream.vocabulary.settings import Limits

__all__ = ["Surroundings"]


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    pump: Pump
    sessions: Sessions
    origins: Origins
    limits: Limits
    logger: Logger
    epoch: str
    simulated: bool
    wall_us: Callable[[], int]
    asset_message: Callable[[str], bytes | None]
    """The ``asset`` message that tells the present state of an asset; None if there is no such asset."""
    health_message: Callable[[str], bytes | None] = lambda _asset: None
    """The ``health`` message of an asset that is not well; None of others."""
    admit: Callable[[], None] = lambda: None
    """Raises RequestError while nobody new is let in."""
    handshake_s: float = 10.0
    """From accepting to the end of the handshake."""
    close_s: float = 2.0
    """How long a client may take to answer a close frame, and a last frame to leave."""
