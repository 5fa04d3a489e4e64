"""A subscriber's session over all its connections, without I/O: it says what to do next, and takes what came of it.

    register ──▶ dial ──▶ exchange, exchange, … ──▶ ask for the receipt ──▶ pause ──▶ dial …
       ▲                        │ 404 unknown-client
       └────────────────────────┘

A face asks for :attr:`Session.step`, does it, reports by the method that the step names, and hands what
:meth:`Session.take` returns to its caller. So all that matters is decided here, once, and tests need no sockets. An
error that a method raises ends the session.

Nothing is kept for later: messages stay in the socket until the caller asks for them, and while there is no connection
a subscription is only remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from finstream_client._calls import asking_for_receipt, dropping, registering, uuid_in
from finstream_client._endings import GOING_AWAY, ending_of, with_receipt
from finstream_client._inbox import Inbox, Item
from finstream_client._pauses import Pauses
from finstream_client._problems import UNKNOWN_CLIENT, may_pass
from finstream_client._steps import Call, Dial, Exchange, Pause, Step
from finstream_client._topics import Topics
from finstream_client._wire import Wire
from finstream_client.backoff import Backoff
from finstream_client.errors import Ended, FinStreamError, ProtocolViolation, Refused, Unreachable
from finstream_client.messages import Choices, Welcome
from finstream_client.notices import Connected, Disconnected, Registered, Retrying

__all__ = ["Item", "Session"]

_SILENT_S: Final = 50.0
"""The engine sends a ping at least every 20 s; what is silent for so long is not there any more."""


class Session:
    """``host`` is that of the stream's address, as the handshake names it."""

    def __init__(
        self,
        host: str,
        *,
        path: str = "",
        uuid: str | None = None,
        client_class: str | None = None,
        backoff: Backoff | None = None,
        handshake_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.uuid = uuid
        self.is_ours = uuid is None
        """Whether we registered the UUID ourselves, so that nobody else has it."""
        self._host = host
        self._path = path
        self._class = client_class
        self._handshake_s = handshake_s
        self._pauses = Pauses(backoff or Backoff(), clock)
        self._topics = Topics()
        self.inbox = Inbox(self._topics, self._welcomed, self._send)
        self._epoch: str | None = None
        self._is_new = False
        """Registered, and not welcomed yet."""
        self._is_forgotten = False
        self._is_welcome = False
        self._wire: Wire | None = None
        self._last_words = b""
        self._ending: Disconnected | None = None
        self._end: FinStreamError | None = None
        self._chores: list[Call] = []
        """Before the first connection of a loop."""
        self.step: Step = self._first_step()

    # --- what the caller wants ---

    def begin(self, topics: Sequence[str], choices: Choices) -> None:
        """The caller reads from now on, and wants these topics until :meth:`leave`. What was dropped while there was
        no connection goes first, so that nothing of it comes in the next one. What ended the loop before does not end
        this one, unless the engine will not have us back."""
        if not isinstance(self._end, Ended):
            self._end = None
        self._topics.borrow(topics, choices)
        if self.uuid is not None:
            self._chores = [dropping(self.uuid, body) for body in self._topics.left_over()]
        self.step = self._first_step()

    def subscribe(self, topics: Sequence[str], choices: Choices) -> None:
        self._topics.want(topics, choices)
        self._request("subscribe", topics, choices)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        self._topics.unwant(topics, is_told=self._can_ask)
        self._request("unsubscribe", topics, Choices())

    def leave(self) -> None:
        """The caller reads no more for now; what is to be sent last is in :meth:`data_to_send`. The next step connects
        again."""
        over = self._topics.give_back()
        if over:
            self._request("unsubscribe", over, Choices())
        if self._wire is not None and self._wire.is_open:
            self._wire.close()
        self._drop()
        self.inbox.check.forget()
        self.inbox.items.clear()
        self._is_welcome, self._ending = False, None
        self._chores.clear()
        self.step = self._first_step()

    def take(self) -> list[Item | bytes]:
        """What there is for the caller.

        Raises:
          FinStreamError: All was taken, and the session is over.
        """
        items, self.inbox.items = self.inbox.items, []
        if not items and self._end is not None:
            raise self._end
        return items

    # --- what came of the steps ---

    def answered(self, status: int, body: bytes, refused: Callable[[], Refused]) -> None:
        """A call was answered; ``refused`` reads the problem in it."""
        if self._ending is not None:
            self._receipt_came(body if status == 200 else b"")
        elif self._chores:  # whatever the answer: the welcome names what is left
            self._chores.pop(0)
            self.step = self._first_step()
        elif status == 201:
            forgotten = self.uuid is not None
            self.uuid = uuid_in(body)
            self.is_ours = self._is_new = True
            self._is_forgotten = False
            self.inbox.items.append(Registered(uuid=self.uuid, why="unknown_client" if forgotten else "new"))
            self.step = Dial()
        else:
            self._try_again(refused())

    def dialled(self) -> None:
        self._wire = Wire(self._host, f"{self._path}/v1/stream?client={quote(self.uuid or '', safe='')}")
        self._last_words = b""
        self.inbox.goodbye = None
        self.step = Exchange(self._handshake_s)

    def data_to_send(self) -> bytes:
        """For the connection that there is; also what is to be sent before it is dropped."""
        words, self._last_words = self._last_words, b""
        return words if self._wire is None else words + self._wire.data_to_send()

    def received(self, data: bytes) -> None:
        """Bytes of the connection, none at its end."""
        assert self._wire is not None, "received without a connection"
        try:
            if not data:
                self._wire.eof()
                self._disconnected("the connection broke")
                return
            self.inbox.put(self._wire.feed(data))
        except Refused as refusal:
            self._try_again(refusal)
        except ProtocolViolation as violation:
            if self._is_welcome or self._epoch is None:
                self._fail(violation)
            else:  # there was an engine here
                self._try_again(Unreachable(self._host, str(violation)))
        else:
            if self._wire is not None and self._wire.is_closed:
                self._disconnected(self._wire.close_reason or "the engine closed the connection")

    def failed(self, error: Unreachable) -> None:
        """The step could not be done."""
        if self._ending is not None:
            self._receipt_came(b"")
        elif self._chores:
            self._chores.clear()
            self._try_again(error)
        elif self._is_welcome:
            self._disconnected(error.why)
        else:
            self._try_again(error)

    def waited(self) -> None:
        self.step = Dial() if self.uuid is not None and not self._is_forgotten else registering(self._class)

    # --- connections ---

    def _welcomed(self, welcome: Welcome) -> None:
        new_epoch = self._epoch is not None and welcome.epoch != self._epoch
        if new_epoch:
            self.inbox.check.forget()
        self._epoch = welcome.epoch
        self._is_new = False
        self._is_welcome = True
        self._pauses.connected()
        self.step = Exchange(_SILENT_S)
        self.inbox.items += [Connected(uuid=welcome.client, epoch=welcome.epoch, new_epoch=new_epoch), welcome]
        self.inbox.check.keep_only([*welcome.topics, *self._topics.wanted])
        for topic in welcome.topics:
            self.inbox.check.add((topic,), welcome.policies.get(topic, Choices()))
        for request in self._topics.welcomed(welcome):
            self._send(request)

    @property
    def _can_ask(self) -> bool:
        return self._is_welcome and self._wire is not None and self._wire.is_open

    def _request(self, op: str, topics: Sequence[str], choices: Choices) -> None:
        if self._can_ask:
            for request in self._topics.requests("subscribe" if op == "subscribe" else "unsubscribe", topics, choices):
                self._send(request)

    def _send(self, request: bytes) -> None:
        if self._wire is not None:
            self._wire.send_text(request)

    def _disconnected(self, why: str) -> None:
        goodbye, wire = self.inbox.goodbye, self._drop()
        if not self._is_welcome:
            self._try_again(Unreachable(self._host, why))
            return
        self._is_welcome = False
        self._pauses.disconnected()
        self._ending = ending_of(goodbye, wire, why)
        if self._ending.code in GOING_AWAY:
            self._receipt_came(b"")
        else:
            self.step = asking_for_receipt(self.uuid or "")

    def _receipt_came(self, body: bytes) -> None:
        ending, self._ending = self._ending, None
        assert ending is not None, "there was no ending to ask about"
        ending = with_receipt(ending, body)
        self.inbox.items.append(ending)
        if not ending.reconnect:
            self._fail(Ended(ending.code, ending.detail))
            return
        goodbye = self.inbox.goodbye
        self._pause(ending.detail, ((goodbye and goodbye.reconnect_in_ms) or 0) / 1000)

    def _try_again(self, error: Refused | Unreachable) -> None:
        """An attempt failed: come back, if that makes sense."""
        self._drop()
        if isinstance(error, Refused):
            if error.problem == UNKNOWN_CLIENT and not self._is_new:
                self.step = registering(self._class)
                return
            self._is_forgotten = error.problem == UNKNOWN_CLIENT  # at once: something between us mixes engines up
            passes = self._is_forgotten or may_pass(error, is_known=self._epoch is not None)
            asked_s = error.retry_after_s
        else:
            passes, asked_s = self._epoch is not None, None
        if passes:
            self._pause(str(error), asked_s)
        else:
            self._fail(error)

    def _pause(self, why: str, asked_s: float | None) -> None:
        seconds = self._pauses.next_s(asked_s)
        self.inbox.items.append(Retrying(in_s=seconds, detail=why))
        self.step = Pause(seconds)

    def _first_step(self) -> Step:
        if self._chores:
            return self._chores[0]
        return Dial() if self.uuid else registering(self._class)

    def _drop(self) -> Wire | None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._last_words = wire.data_to_send()
        return wire

    def _fail(self, error: FinStreamError) -> None:
        self._drop()
        self._end = error
