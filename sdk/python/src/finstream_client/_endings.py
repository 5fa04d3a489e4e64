"""Why a connection ended, and whether to come back: from the engine's goodbye, its close frame, its receipt. No I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from finstream_client._wire import Wire
from finstream_client.messages import Goodbye
from finstream_client.notices import Disconnected, Receipt

__all__ = ["GOING_AWAY", "ending_of", "with_receipt"]

GOING_AWAY: Final = frozenset({"engine_stopping", "engine_restarting"})
"""There is nobody to ask for a receipt."""

_FOR_GOOD: Final = frozenset({1002, 1009, 4001, 4002})
"""Close codes after which the engine does not want us back, should its goodbye not have come."""

_LOST: Final = "connection_lost"


class _Client(msgspec.Struct):
    state: str = ""
    last_receipt: Receipt | None = None


def ending_of(goodbye: Goodbye | None, wire: Wire | None, why: str) -> Disconnected:
    """``why`` is what the face saw, for a connection that just broke."""
    if goodbye is not None:
        return Disconnected(code=goodbye.code, detail=goodbye.detail, reconnect=goodbye.reconnect)
    if wire is not None and wire.close_code in _FOR_GOOD:
        return Disconnected(code=wire.close_reason or _LOST, detail=why, reconnect=False)
    return Disconnected(code=_LOST, detail=why, reconnect=True)


def with_receipt(ending: Disconnected, body: bytes) -> Disconnected:
    """``body`` is the answer to ``GET /v1/clients/{uuid}``; anything else is no receipt."""
    try:
        client = msgspec.json.decode(body, type=_Client)
    except msgspec.DecodeError:
        return ending
    receipt = client.last_receipt
    if client.state != "waiting" or receipt is None:  # a connected client's is of a connection before this one
        return ending
    if ending.code == _LOST:
        ending = msgspec.structs.replace(ending, code=receipt.reason, detail=receipt.detail or ending.detail)
    return msgspec.structs.replace(ending, receipt=receipt)
