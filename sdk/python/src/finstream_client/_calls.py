"""The REST calls of a session, and what it reads from an answer. No I/O."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from finstream_client._steps import Call
from finstream_client.errors import ProtocolViolation

__all__ = ["asking_for_receipt", "dropping", "registering", "uuid_in"]

_RECEIPT_S: Final = 2.0


class _Registration(msgspec.Struct):
    uuid: str


def registering(client_class: str | None) -> Call:
    return Call("POST", "/v1/clients", msgspec.json.encode({"class": client_class} if client_class else {}))


def uuid_in(body: bytes) -> str:
    """Of the answer to a registration. Raises ProtocolViolation."""
    try:
        return msgspec.json.decode(body, type=_Registration).uuid
    except msgspec.DecodeError:
        raise ProtocolViolation("what answered the registration is no FinStream engine") from None


def asking_for_receipt(uuid: str) -> Call:
    return Call("GET", f"/v1/clients/{quote(uuid, safe='')}", timeout_s=_RECEIPT_S)


def dropping(uuid: str, topics: bytes) -> Call:
    """``topics``: the body, as :meth:`Topics.left_over` has it."""
    return Call("DELETE", f"/v1/clients/{quote(uuid, safe='')}/subscriptions", topics)
