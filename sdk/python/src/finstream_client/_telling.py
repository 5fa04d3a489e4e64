"""What happens to messages and notices that the caller of ``stream()`` does not iterate over: unless it takes them, the
log has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec

from finstream_client._inbox import Item
from finstream_client.messages import Error, Gap, Health, Tick, Warning  # noqa: A004 - the engine's word
from finstream_client.notices import Disconnected, Lost, Retrying

__all__ = ["OnEvent", "log_event", "raws_of", "ticks_of"]

OnEvent: TypeAlias = Callable[[Item], None]

_log = logging.getLogger("finstream_client")
_LOUD = (Lost, Gap, Disconnected, Retrying, Error, Warning, Health)


def log_event(item: Item) -> None:
    """Warn of what is missing or wrong, and mention the rest, to the logger ``finstream_client``."""
    level = logging.WARNING if isinstance(item, _LOUD) else logging.DEBUG
    if _log.isEnabledFor(level):
        members = msgspec.structs.asdict(item).items()
        told = [f"{name}={value}" for name, value in members if name != "raw" and value not in (None, "")]
        _log.log(level, "%s: %s", type(item).__name__.lower(), ", ".join(told))


def ticks_of(items: Iterable[Item | bytes], tell: OnEvent) -> Iterator[Tick]:
    """Raises Refused at an error message: somebody who only takes ticks would wait for ever for those of a topic that
    is refused."""
    for item in items:
        if isinstance(item, Tick):
            yield item
        elif not isinstance(item, bytes):
            _tell(item, tell)


def raws_of(items: Iterable[Item | bytes], tell: OnEvent) -> Iterator[bytes]:
    """Raises Refused, as above."""
    for item in items:
        if isinstance(item, bytes):
            yield item
        else:
            _tell(item, tell)


def _tell(item: Item, tell: OnEvent) -> None:
    tell(item)
    if isinstance(item, Error):
        raise item.as_exception()
