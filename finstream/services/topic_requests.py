"""Topics and choices as clients send them: read and checked, each error with the path of the member it is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from finstream.vocabulary.commands import SubscriptionRequest
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.policies import Policy
from finstream.vocabulary.topics import Topic, parse_topic

__all__ = ["read_policy", "read_topics", "require_at_most", "require_known"]


def read_topics(texts: Iterable[str], field: str) -> dict[Topic, str]:
    """The topics in their order, each once, with the path of its first mention below ``field``.

    Raises:
      RequestError: ``invalid-topic``.
    """
    topics: dict[Topic, str] = {}
    for index, text in enumerate(texts):
        path = f"{field}[{index}]"
        topics.setdefault(parse_topic(text, field=path), path)
    return topics


def read_policy(request: SubscriptionRequest) -> Policy:
    """
    Raises:
      RequestError: ``invalid-field``, for choices that do not go together.
    """
    if request.trades != "keep" and request.policy != "conflate":
        detail = f'trades cannot be merged under the policy {request.policy}: add "policy":"conflate", or leave trades out'
        raise RequestError("invalid-field", detail, field="$.trades")
    return Policy(policy=request.policy, trades=request.trades, max_rate=request.max_rate)


def require_known(topics: dict[Topic, str], assets: Collection[str]) -> None:
    """
    Raises:
      RequestError: ``unknown-asset``.
    """
    for topic, path in topics.items():
        if topic.asset not in assets:
            raise RequestError("unknown-asset", f"there is no asset {topic.asset!r}", field=path)


def require_at_most(most: int, count: int, field: str) -> None:
    """
    Raises:
      RequestError: ``too-many-topics``.
    """
    if count > most:
        detail = f"that would be {count} topics; a client may have {most} (limits.topics_per_client)"
        raise RequestError("too-many-topics", detail, field=field)
