"""What clients ask and what they are answered: the bodies of the REST API and the control messages of the stream.

``docs/rest-api.md`` and ``docs/stream-protocol.md`` show them as their users meet them. Members that a request does
not know are refused, so that an option which only a later engine understands is never ignored in silence.
"""

from __future__ import annotations

from typing import Any

import msgspec

from finstream.vocabulary.market import Phase
from finstream.vocabulary.policies import Policy, Rate, Trades, WhenBehind
from finstream.vocabulary.settings import STANDARD_CLASS, LogLevel

__all__ = [
    "MAX_ID_BYTES", "MAX_REQUEST_BYTES", "PROTOCOL", "AssetCommandAccepted", "DisconnectAccepted", "Goodbye", "Health",
    "LogLevelAnswer", "LogLevelRequest", "MarketSimulation", "Ping", "PlanRequest", "Pong", "RebootAccepted", "Registered",
    "Registration", "RequestId", "StreamError", "StreamMessage", "StreamRequest", "Subscribe", "Subscribed",
    "SubscriptionRequest", "TopicList", "Topics", "Unsubscribe", "Unsubscribed", "Warn", "Welcome",
]  # fmt: skip

PROTOCOL = 1
"""The version of the stream's protocol; ``welcome`` tells it."""
MAX_REQUEST_BYTES = 65536
"""The longest message that a stream client may send."""

RequestId = int | str | None
"""Chosen by the client and given back in the answer; null counts as none."""
MAX_ID_BYTES = 128
"""The longest one, as it stands in the request."""


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Answer(msgspec.Struct, frozen=True):
    pass


# --- REST ---


class Registration(_Request, frozen=True, kw_only=True):
    """Registering needs no more than asking for it."""

    client_class: str = msgspec.field(name="class", default=STANDARD_CLASS)
    """A class of the configuration (``client_classes``); its priority counts when memory is short."""


class Registered(_Answer, frozen=True):
    uuid: str
    """Names the client in REST paths, and opens the stream: ``/v1/stream?client={uuid}``. Keep it to yourself."""


class TopicList(_Request, frozen=True):
    topics: list[str]
    """``asset`` or ``asset:SYMBOL``. All of them are taken, or none when one is wrong."""


class SubscriptionRequest(Policy, frozen=True, kw_only=True):
    """The choices hold for all of the topics, also for those that are subscribed already."""

    topics: list[str]
    """``asset`` or ``asset:SYMBOL``. All of them are taken, or none when one is wrong."""


class Topics(_Answer, frozen=True, omit_defaults=True):
    topics: list[str]
    """All topics that the client is subscribed to now."""
    policies: dict[str, Policy] = {}
    """Of those topics that have any choices."""


class AssetCommandAccepted(_Answer, frozen=True):
    asset: str
    state: str
    """At the moment of the answer; a command that stops a process takes effect once the process has left."""


class LogLevelRequest(_Request, frozen=True):
    level: LogLevel


class LogLevelAnswer(_Answer, frozen=True):
    level: str
    previous: str


class MarketSimulation(_Request, frozen=True):
    status: Phase | None
    """Null ends the simulation."""


class PlanRequest(_Request, frozen=True):
    text: str | None = None
    """A configuration to try out; null: what is in the file now."""


class DisconnectAccepted(_Answer, frozen=True):
    client: str


class RebootAccepted(_Answer, frozen=True):
    epoch: str
    """Of the engine that is about to stop; the new engine's ``welcome`` tells another."""


class Health(_Answer, frozen=True, omit_defaults=True):
    status: str
    """``alive``, or ``ready``."""
    memory: str | None = None
    """Of readiness: ``normal``, ``soft`` or ``hard``: the highest mark that what waits for subscribers is above."""


# --- the stream: requests ---


class _Operation(_Request, frozen=True, tag_field="op", kw_only=True):
    id: RequestId = None


class Subscribe(SubscriptionRequest, frozen=True, tag_field="op", tag="subscribe", kw_only=True):
    id: RequestId = None


class Unsubscribe(_Operation, frozen=True, tag="unsubscribe", kw_only=True):
    topics: list[str]
    """One that is not subscribed is no error."""


class Ping(_Operation, frozen=True, tag="ping"):
    pass


StreamRequest = Subscribe | Unsubscribe | Ping


# --- the stream: control messages ---


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    simulated: bool = False


class _Reply(_Message, frozen=True, kw_only=True):
    id: Any = None
    """As it stands in the request; in an error that may be any JSON value, because it may be what is wrong."""


class Welcome(_Message, frozen=True, tag="welcome", kw_only=True):
    """The first message of a connection."""

    protocol: int
    epoch: str
    """Of the engine's life: under another epoch the ``seq`` of each asset starts anew."""
    client: str
    topics: list[str]
    """Resumed from the client's earlier connection, or set over REST."""
    engine: str
    policies: dict[str, Policy] = {}
    """Of those topics that have any choices."""


class Subscribed(_Reply, frozen=True, tag="subscribed", kw_only=True):
    topics: list[str]
    """Of the request. Their messages follow, never come before."""
    policy: WhenBehind = "kill"
    trades: Trades = "keep"
    max_rate: Rate | None = None


class Unsubscribed(_Reply, frozen=True, tag="unsubscribed", kw_only=True):
    topics: list[str]


class Pong(_Reply, frozen=True, tag="pong"):
    pass


class StreamError(_Reply, frozen=True, tag="error", kw_only=True):
    """A request could not be served. The connection lives on."""

    problem: str
    """``type`` of the same problem in the REST API."""
    detail: str
    field: str | None = None


class Warn(_Message, frozen=True, tag="warning", kw_only=True):
    """Something will go wrong unless the client does something. The connection lives on."""

    code: str
    """``slow_consumer``: half of what may wait for the client is waiting, by bytes or by age."""
    queued_bytes: int
    max_bytes: int
    oldest_ms: int
    max_age_ms: int
    detail: str


class Goodbye(_Message, frozen=True, tag="goodbye", kw_only=True):
    """The last message of a connection that the engine ends, before the close frame."""

    code: str
    """A key of :data:`finstream.vocabulary.reasons.CLOSINGS`."""
    close_code: int
    detail: str
    reconnect: bool
    """Whether connecting again with the same UUID makes sense."""
    reconnect_in_ms: int | None = None
    """When to do so; spread out, so that not all clients come at once."""


StreamMessage = Welcome | Subscribed | Unsubscribed | Pong | StreamError | Warn | Goodbye
