"""What the engine sends, typed. Every message keeps the bytes it came in: ``message.raw``.

Decimals are :class:`decimal.Decimal`, exact; times are integer microseconds since the epoch, UTC. Members that are
absent are None (or empty, zero, false). Members that a class does not know are in ``message.members``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct, field

from finstream_client.errors import ProtocolViolation, Refused

__all__ = [
    "AssetState", "Choices", "Data", "Error", "Gap", "Goodbye", "Health", "Message", "Other", "Pong", "Subscribed", "Switch",
    "Tick", "Unsubscribed", "Warning", "Welcome", "decode", "decode_header",
]  # fmt: skip


class _Message(Struct, frozen=True, kw_only=True):
    raw: bytes = field(default=b"", name=" raw")  # no member is called so
    """The message as the engine sent it, JSON in UTF-8."""
    simulated: bool = False

    @property
    def members(self) -> dict[str, Any]:
        """All members as they came, decimals as strings: a new dictionary, decoded from ``raw``."""
        decoded: dict[str, Any] = msgspec.json.decode(self.raw)
        return decoded


class _Known(_Message, frozen=True, kw_only=True, tag_field="type"):
    @property
    def type(self) -> str:
        """What the engine calls such messages."""
        return str(self.__struct_config__.tag)


class Tick(_Known, frozen=True, kw_only=True, tag="tick"):
    """A trade (``price``, ``volume``, ``side``, ``trade_id``) with the best bid and ask last known, or a quote
    alone."""

    asset: str
    seq: int
    symbol: str
    ts_event: int
    ts_recv: int
    exchange: str | None = None
    price: Decimal | None = None
    volume: Decimal | None = None
    side: str | None = None
    trade_id: str | int | None = None
    event_id: str | int | None = None
    bid_price: Decimal | None = None
    bid_volume: Decimal | None = None
    ask_price: Decimal | None = None
    ask_volume: Decimal | None = None
    conflated: int = 0
    """How many older messages this one took the place of."""
    quality: str | None = None
    via: str | None = None
    """Of a tick of the topic ``best``: the asset that it is from."""

    @property
    def lag_us(self) -> int:
        """From the source's stamp to the engine's receipt, in microseconds; negative if the source's clock is ahead."""
        return self.ts_recv - self.ts_event


class Switch(_Known, frozen=True, kw_only=True, tag="switch"):
    """The topic ``best`` has another source for a symbol from here on."""

    asset: str
    seq: int
    symbol: str
    to: str
    reason: str
    from_: str | None = field(default=None, name="from")
    ts_recv: int | None = None


class Data(_Message, frozen=True, kw_only=True):
    """Numbered data of any other ``type`` (``news``, ``sentiment``, …); what it says is in ``members``."""

    type: str
    asset: str
    seq: int
    ts_event: int | None = None
    ts_recv: int | None = None
    symbol: str | None = None


class Choices(Struct, frozen=True, omit_defaults=True):
    """What is chosen with a subscription; the engine's stream protocol says what the words mean."""

    policy: str = "kill"
    trades: str = "keep"
    max_rate: float | None = None

    @property
    def merges(self) -> bool:
        """Whether numbers are missing because messages are merged into others."""
        return self.policy == "conflate" or self.max_rate is not None


class Welcome(_Known, frozen=True, kw_only=True, tag="welcome"):
    protocol: int
    epoch: str
    client: str
    topics: list[str]
    policies: dict[str, Choices] = {}
    engine: str = ""


class Subscribed(_Known, frozen=True, kw_only=True, tag="subscribed"):
    topics: list[str]
    id: Any = None
    policy: str = "kill"
    trades: str = "keep"
    max_rate: float | None = None


class Unsubscribed(_Known, frozen=True, kw_only=True, tag="unsubscribed"):
    topics: list[str]
    id: Any = None


class Pong(_Known, frozen=True, kw_only=True, tag="pong"):
    id: Any = None


class AssetState(_Known, frozen=True, kw_only=True, tag="asset"):
    """The state of a source of one of our topics, when we subscribe and whenever it changes."""

    asset: str
    state: str
    reason: str | None = None
    detail: str | None = None


class Health(_Known, frozen=True, kw_only=True, tag="health"):
    """A feed's health changed: ``state`` is ``live``, ``degraded``, ``stale`` or ``down``."""

    state: str
    asset: str | None = None
    symbol: str | None = None
    cause: str | None = None
    age_ms: int | None = None
    detail: str | None = None


class Gap(_Known, frozen=True, kw_only=True, tag="gap"):
    """Messages of a topic were skipped, because we were too slow: ``count`` of them, from ``first_seq`` to
    ``last_seq``."""

    topic: str
    asset: str
    first_seq: int
    last_seq: int
    count: int
    symbol: str | None = None
    reason: str | None = None


class Warning(_Known, frozen=True, kw_only=True, tag="warning"):  # noqa: A001 - the engine's word
    """Half of what may wait for us is waiting: read faster, or choose a policy."""

    code: str
    detail: str | None = None
    queued_bytes: int | None = None
    max_bytes: int | None = None
    oldest_ms: int | None = None
    max_age_ms: int | None = None


class Error(_Known, frozen=True, kw_only=True, tag="error"):
    """A request of ours was refused; the connection lives on."""

    problem: str
    detail: str
    id: Any = None
    field: str | None = None
    remedy: str | None = None

    def as_exception(self) -> Refused:
        return Refused(self.problem, self.detail, field=self.field, remedy=self.remedy)


class Goodbye(_Known, frozen=True, kw_only=True, tag="goodbye"):
    """The engine closes the connection."""

    code: str
    reconnect: bool = True
    detail: str = ""
    close_code: int | None = None
    reconnect_in_ms: int | None = None


class Other(_Message, frozen=True, kw_only=True):
    """A control message that this version does not know; what it says is in ``members``."""

    type: str
    asset: str | None = None


Message: TypeAlias = (
    Tick | Switch | Data | Welcome | Subscribed | Unsubscribed | Pong
    | AssetState | Health | Gap | Warning | Error | Goodbye | Other
)  # fmt: skip


class Header(Struct, frozen=True, gc=False):
    """As much of a message as telling losses needs."""

    type: str
    asset: str = ""
    seq: int | None = None


_known: Final = msgspec.json.Decoder(
    Tick | Switch | Welcome | Subscribed | Unsubscribed | Pong | AssetState | Health | Gap | Warning | Error | Goodbye
)
_data: Final = msgspec.json.Decoder(Data)
_other: Final = msgspec.json.Decoder(Other)
decode_header: Final = msgspec.json.Decoder(Header).decode
_keep = msgspec.structs.force_setattr


def decode(raw: bytes) -> Message:
    """Read one message.

    Raises:
      ProtocolViolation: It is not a JSON object with a ``type``. Types that are unknown, and known ones that do not
        have the shape that this version expects, are no error: they become :class:`Data` if they are numbered, else
        :class:`Other`.
    """
    message: Message
    try:
        message = _known.decode(raw)
    except msgspec.ValidationError:
        message = _decode_unknown(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolViolation(f"not a message of the stream protocol: {error}") from None
    _keep(message, "raw", raw)
    return message


def _decode_unknown(raw: bytes) -> Data | Other:
    try:
        header = decode_header(raw)
        if header.seq is None:
            return _other.decode(raw)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ProtocolViolation(f"not a message of the stream protocol: {error}") from None
    try:
        return _data.decode(raw)
    except msgspec.ValidationError:
        return Data(type=header.type, asset=header.asset, seq=header.seq)
