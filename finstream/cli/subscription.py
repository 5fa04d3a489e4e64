"""A subscription that outlives its connections: register, connect, read, and come back as the same client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
import trio
from trio_websocket import CloseReason, ConnectionClosed

from finstream.cli import exits
from finstream.cli.addresses import Addresses
from finstream.cli.backoff import Backoff
from finstream.cli.client import Rest, open_stream
from finstream.cli.failures import Problem, Refused, Unreachable
from finstream.cli.messages import Message, message_line, read_message
from finstream.vocabulary.errors import FinStreamError
from finstream.vocabulary.policies import PLAIN, Policy
from finstream.vocabulary.problems import type_uri
from finstream.vocabulary.reasons import CLOSINGS

__all__ = ["Subscription"]

_UNKNOWN_CLIENT = type_uri("unknown-client")
_UNREGISTER_S = 1.0
"""The engine forgets a client by itself after its reconnection window; leaving is not held up for longer than this."""


class _Ending(NamedTuple):
    why: str
    come_back: bool
    come_back_in_s: float | None = None
    """When the engine asks us to; None: by our own backoff."""


class Subscription:
    """``write`` is given every line for standard output, ``note`` every remark for the person at the terminal."""

    def __init__(
        self,
        addresses: Addresses,
        topics: Sequence[str],
        *,
        write: Callable[[str], Awaitable[None]],
        note: Callable[[str], None],
        client: str | None = None,
        count: int | None = None,
        reconnect: bool = True,
        policy: Policy = PLAIN,
        as_json: bool = False,
        colour: bool = False,
    ) -> None:
        self._addresses = addresses
        self._topics = topics
        self._write = write
        self._note = note
        self._given = client
        self._left = count
        self._reconnect = reconnect
        self._policy = policy
        self._as_json = as_json
        self._colour = colour
        self._backoff = Backoff()
        self._uuid = ""
        self._epoch: str | None = None
        self._last_seq: dict[str, int] = {}
        """Of each asset that is subscribed as a whole: only there do the numbers follow each other."""
        self._welcomed = 0

    async def run(self) -> int:
        """Read until the count is reached or the engine sends us away for good; returns the exit code.

        Raises:
          Refused, Unreachable: at the first connection, or at any if it is not to reconnect.
        """
        async with Rest(self._addresses) as rest:
            await self._register(rest)
            try:
                return await self._stay_connected(rest)
            finally:
                if self._given is None:
                    with trio.move_on_after(_UNREGISTER_S, shield=True):
                        await self._unregister(rest)

    async def _register(self, rest: Rest) -> None:
        self._uuid = self._given or await rest.register()
        if self._topics:
            try:
                await rest.add_topics(self._uuid, self._topics, self._policy)
            except FinStreamError:
                if self._given is None:
                    await self._unregister(rest)
                raise

    async def _unregister(self, rest: Rest) -> None:
        with suppress(FinStreamError):  # it expires by itself
            await rest.unregister(self._uuid)

    async def _stay_connected(self, rest: Rest) -> int:
        while True:
            try:
                async with open_stream(self._addresses, self._uuid) as connection:
                    ending = await self._read(connection.get_message)
            except (Unreachable, Refused) as failure:
                ending = _Ending(str(failure), come_back=self._welcomed > 0 and self._may_pass(failure))
                if not (ending.come_back and self._reconnect):
                    raise
                if self._is_forgotten(failure) and await self._registered_again(rest):
                    self._note("the engine does not know this client any more; registered a new one")
                    continue
            if self._left == 0:
                return exits.OK
            if not (ending.come_back and self._reconnect):
                raise Refused(Problem(title="The connection ended", detail=ending.why))
            delay_s = self._backoff.next_delay_s() if ending.come_back_in_s is None else ending.come_back_in_s
            self._note(f"{ending.why}; again in {delay_s:.1f} s")
            await trio.sleep(delay_s)

    def _may_pass(self, failure: Unreachable | Refused) -> bool:
        return isinstance(failure, Unreachable) or failure.problem.status >= 500 or self._is_forgotten(failure)

    def _is_forgotten(self, failure: Unreachable | Refused) -> bool:
        return self._given is None and isinstance(failure, Refused) and failure.problem.type == _UNKNOWN_CLIENT

    async def _registered_again(self, rest: Rest) -> bool:
        try:
            await self._register(rest)
        except (Unreachable, Refused):
            return False
        return True

    async def _read(self, next_message: Callable[[], Awaitable[str | bytes]]) -> _Ending:
        """Read one connection to its end, or until the count is reached."""
        goodbye: Message | None = None
        while True:
            try:
                text = await next_message()
            except ConnectionClosed as closed:
                return _ending(goodbye, closed.reason)
            try:
                message = read_message(text)
            except msgspec.DecodeError as error:
                raise Refused(Problem(title="Not a message of the stream protocol", detail=str(error))) from None
            if message.type == "goodbye":
                goodbye = message
            await self._show(text if isinstance(text, str) else text.decode(), message)
            if self._left == 0:
                return _Ending("enough", come_back=False)

    async def _show(self, text: str, message: Message) -> None:
        if message.seq is None:
            self._tell_control(message)
            if self._as_json:
                await self._write(text)
            return
        self._tell_missed(message)
        await self._write(text if self._as_json else message_line(message, colour=self._colour))
        if self._left is not None:
            self._left -= 1

    def _tell_control(self, message: Message) -> None:
        match message.type:
            case "welcome":
                self._welcomed += 1
                self._backoff.reset()
                if message.epoch != self._epoch:
                    self._epoch = message.epoch
                    self._last_seq.clear()
                topics = ", ".join(message.topics or []) or "no topics"
                again = "connected again" if self._welcomed > 1 else "connected"
                self._note(f"{again} as {self._uuid}: {topics}{' (simulation)' if message.simulated else ''}")
            case "asset":
                why = " ".join(text for text in (message.reason, message.detail) if text)
                self._note(f"{message.asset}: {message.state}{f' ({why})' if why else ''}")
            case "gap":
                self._tell_gap(message)
            case "warning":
                self._note(f"warning: {message.detail or message.code}")
            case "health" | "error":
                said = (message.asset, message.state, message.cause, message.reason, message.detail)
                self._note(f"{message.type}: {' '.join(filter(None, said))}")

    def _tell_gap(self, message: Message) -> None:
        self._note(f"{message.topic}: {message.count or 0:,} messages skipped, {message.first_seq} to {message.last_seq}")
        if message.asset in self._last_seq and message.last_seq is not None:
            self._last_seq[message.asset] = max(message.last_seq, self._last_seq[message.asset])

    def _tell_missed(self, message: Message) -> None:
        if message.asset is None or message.seq is None or message.asset not in self._topics:
            return
        if self._policy.policy == "conflate" or self._policy.max_rate is not None:
            return  # numbers are missing because their messages were merged into others
        before = self._last_seq.get(message.asset)
        if before is not None and message.seq > before + 1:
            self._note(f"{message.asset}: {message.seq - before - 1:,} messages missed")
        self._last_seq[message.asset] = message.seq


def _ending(goodbye: Message | None, close: CloseReason | None) -> _Ending:
    """What the engine said of why, and whether to come back; a connection that just broke says neither."""
    if goodbye is not None:
        in_s = None if goodbye.reconnect_in_ms is None else goodbye.reconnect_in_ms / 1000
        why = goodbye.detail or goodbye.code or "the engine said goodbye"
        return _Ending(why, come_back=goodbye.reconnect is not False, come_back_in_s=in_s)
    if close is None:
        return _Ending("the connection broke", come_back=True)
    known = {closing.close_code: closing for closing in CLOSINGS.values()}.get(close.code)
    why = close.reason or (known.text if known else f"close code {close.code}")
    return _Ending(why, come_back=known is None or known.reconnect)
