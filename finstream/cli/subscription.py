"""A subscription that outlives its connections: register, connect, read, and come back as the same client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
import trio
from trio_websocket import ConnectionClosed

from finstream.cli import exits
from finstream.cli.addresses import Addresses
from finstream.cli.backoff import Backoff
from finstream.cli.client import Rest, open_stream
from finstream.cli.failures import Problem, Refused, Unreachable
from finstream.cli.messages import Message, message_line, read_message
from finstream.vocabulary.errors import FinStreamError

__all__ = ["Subscription"]

_UNREGISTER_S = 1.0
"""The engine forgets a client by itself after its reconnection window; leaving is not held up for longer than this."""


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
                await rest.add_topics(self._uuid, self._topics)
            except FinStreamError:
                if self._given is None:
                    await self._unregister(rest)
                raise

    async def _unregister(self, rest: Rest) -> None:
        with suppress(FinStreamError):  # it expires by itself
            await rest.unregister(self._uuid)

    async def _stay_connected(self, rest: Rest) -> int:
        while True:
            goodbye: Message | None = None
            try:
                async with open_stream(self._addresses, self._uuid) as connection:
                    goodbye, why = await self._read(connection.get_message)
                if self._left == 0:
                    return exits.OK
                if not self._may_come_back(goodbye):
                    raise Refused(Problem(title="The engine closed the connection", detail=why))
            except Unreachable as failure:
                if not (self._reconnect and self._welcomed):
                    raise
                why = failure.why
            except Refused as refused:
                if not (self._reconnect and self._welcomed and self._is_forgotten(refused)):
                    raise
                why = "the engine does not know this client any more"
                if await self._registered_again(rest):
                    self._note(f"{why}; registered a new one")
                    continue
            delay_s = self._backoff.next_delay_s()
            if goodbye is not None and goodbye.reconnect_in_ms is not None:
                delay_s = goodbye.reconnect_in_ms / 1000
            self._note(f"connection ended: {why}; again in {delay_s:.1f} s")
            await trio.sleep(delay_s)

    def _may_come_back(self, goodbye: Message | None) -> bool:
        return self._reconnect and (goodbye is None or goodbye.reconnect is not False)

    def _is_forgotten(self, refused: Refused) -> bool:
        return self._given is None and refused.problem.type.endswith(":unknown-client")

    async def _registered_again(self, rest: Rest) -> bool:
        try:
            await self._register(rest)
        except (Unreachable, Refused):
            return False
        return True

    async def _read(self, next_message: Callable[[], Awaitable[str | bytes]]) -> tuple[Message | None, str]:
        """Read one connection to its end, or until the count is reached; returns the goodbye and why it ended."""
        goodbye: Message | None = None
        while True:
            try:
                text = await next_message()
            except ConnectionClosed as closed:
                if goodbye is not None:
                    return goodbye, goodbye.detail or goodbye.code or "the engine said goodbye"
                reason = closed.reason
                if reason is None:
                    return None, "the connection broke"
                return None, reason.reason or f"close code {reason.code}"
            try:
                message = read_message(text)
            except msgspec.DecodeError as error:
                raise Refused(Problem(title="Not a message of the stream protocol", detail=str(error))) from None
            if message.type == "goodbye":
                goodbye = message
            await self._show(text if isinstance(text, str) else text.decode(), message)
            if self._left == 0:
                return None, "enough"

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
            case "gap" | "health" | "error":
                said = (message.asset, message.state, message.reason, message.detail)
                self._note(f"{message.type}: {' '.join(filter(None, said))}")

    def _tell_missed(self, message: Message) -> None:
        if message.asset is None or message.seq is None or message.asset not in self._topics:
            return
        before = self._last_seq.get(message.asset)
        if before is not None and message.seq > before + 1:
            self._note(f"{message.asset}: {message.seq - before - 1:,} messages missed")
        self._last_seq[message.asset] = message.seq
