"""What a session is to be subscribed to, and the requests that make it so. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from finstream_client.messages import Choices, Error, Subscribed, Welcome

__all__ = ["Topics"]

_REQUEST_BYTES: Final = 60_000
"""The engine takes 64 KiB; the rest is for the members beside the topics."""

_Op: TypeAlias = Literal["subscribe", "unsubscribe"]


class Topics:
    """The topics that are wanted outlive connections; the requests that wait for their answers do not."""

    def __init__(self) -> None:
        self.wanted: dict[str, Choices] = {}
        self._borrowed: dict[str, Choices | None] = {}
        """Of the loop that runs: its topics, with the choices that hold without it; None if it alone wants them."""
        self._may_be_had: set[str] = set()
        """Borrowed, and the engine was not connected to since; it may have them by other ways (REST)."""
        self._unwanted: set[str] = set()
        """Unsubscribed while nobody could be told."""
        self._unproved: set[str] = set()
        """Wanted, and never taken by the engine."""
        self._asked: dict[int, Sequence[str]] = {}
        """By the id of a request: what it is to subscribe to."""
        self._restoring: set[int] = set()
        """The ids of those that are to bring back what an earlier connection had."""
        self._last_id = 0

    def borrow(self, topics: Sequence[str], choices: Choices) -> None:
        """Want them until :meth:`give_back`."""
        borrowed = {topic: self.wanted.get(topic) for topic in topics}
        may_be_had = {topic for topic in topics if topic not in self.wanted and topic not in self._unwanted}
        self.want(topics, choices)
        self._borrowed, self._may_be_had = borrowed, may_be_had

    def give_back(self) -> Sequence[str]:
        """The loop is over: want what was wanted without it. Returns the topics that nobody wants any more."""
        borrowed, self._borrowed = self._borrowed, {}
        over = [topic for topic, before in borrowed.items() if before is None and topic in self.wanted]
        self.wanted.update({topic: before for topic, before in borrowed.items() if before is not None})
        self.unwant(over, is_told=False)  # what is told last may not arrive
        return over

    def left_over(self) -> Iterator[bytes]:
        """The bodies of REST requests that drop what is not wanted any more, and may still be subscribed to."""
        for some in _portions(sorted(self._unwanted)):
            yield msgspec.json.encode({"topics": some})

    def want(self, topics: Sequence[str], choices: Choices) -> None:
        self._unproved.update(topic for topic in topics if topic not in self.wanted)
        self.wanted.update(dict.fromkeys(topics, choices))
        self._unwanted.difference_update(topics)
        self._keep(topics)

    def unwant(self, topics: Sequence[str], *, is_told: bool) -> None:
        self._keep(topics)
        for topic in topics:
            self.wanted.pop(topic, None)
        if not is_told:
            self._unwanted.update(topics)

    def welcomed(self, welcome: Welcome) -> Iterator[bytes]:
        """The requests that make what the engine has what is wanted. Topics that it has by other ways (REST) are taken
        over."""
        self._asked.clear()
        self._restoring.clear()
        self._unproved.difference_update(welcome.topics)
        has = dict.fromkeys(welcome.topics, Choices()) | welcome.policies
        self._borrowed |= {topic: has[topic] for topic in self._may_be_had & has.keys()}
        self._may_be_had.clear()
        drop = [topic for topic in has if topic in self._unwanted]
        self._unwanted.clear()
        if drop:
            yield from self.requests("unsubscribe", drop, Choices())
        yield from self._restore([topic for topic, choices in self.wanted.items() if has.get(topic) != choices])
        for topic in has.keys() - set(drop):
            self.wanted.setdefault(topic, has[topic])

    def requests(self, op: _Op, topics: Iterable[str], choices: Choices) -> Iterator[bytes]:
        """As many requests as the topics need, each of which the engine takes or refuses as a whole."""
        for some in _portions(list(topics)):
            self._last_id += 1
            request: dict[str, Any] = {"op": op, "topics": some, "id": self._last_id}
            if op == "subscribe":
                self._asked[self._last_id] = some
                request |= msgspec.to_builtins(choices)
            yield msgspec.json.encode(request)

    def answered(self, answer: Subscribed | Error) -> Iterator[bytes]:
        """The requests for what a refusal takes with it though the engine had it once: it knows one of the topics no
        more, whose asset may have left the configuration, and refuses the others that are asked for again with it."""
        topics = self._asked.pop(answer.id, ()) if isinstance(answer.id, int) else ()
        unproved = self._unproved.intersection(topics)
        self._unproved -= unproved
        if isinstance(answer, Error):
            for topic in unproved:
                self.wanted.pop(topic, None)
            at_fault = (answer.field or "").removeprefix("$.topics[").removesuffix("]")
            if at_fault.isdecimal() and answer.id in self._restoring:
                others = (topic for place, topic in enumerate(topics) if place != int(at_fault) and topic in self.wanted)
                yield from self._restore(others)

    def _restore(self, topics: Iterable[str]) -> Iterator[bytes]:
        by_choices: dict[Choices, list[str]] = {}
        for topic in topics:
            by_choices.setdefault(self.wanted[topic], []).append(topic)
        for choices, some in by_choices.items():
            for request in self.requests("subscribe", some, choices):
                self._restoring.add(self._last_id)
                yield request

    def _keep(self, topics: Sequence[str]) -> None:
        """Somebody else decided on them: leaving the loop changes nothing."""
        for topic in topics:
            self._borrowed.pop(topic, None)
        self._may_be_had.difference_update(topics)


def _portions(topics: list[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for topic in topics:
        length = len(msgspec.json.encode(topic)) + 1
        if portion and size + length > _REQUEST_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(topic)
        size += length
    if portion:
        yield portion
