"""Where the engine is: options, environment variables, and the defaults of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from finstream.vocabulary.settings import ListenSettings

__all__ = ["Addresses", "Side", "address_options", "as_url"]

Side = Literal["public", "stream", "admin"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """URLs without a path, like ``http://127.0.0.1:8080`` and ``ws://127.0.0.1:8081``."""

    public: str = f"http://{ListenSettings().public}"
    stream: str = f"ws://{ListenSettings().stream}"
    admin: str = f"http://{ListenSettings().admin}"

    def differing_options(self, *sides: Side) -> str:
        """The options that lead another command to these addresses; empty where they are the default ones."""
        usual = Addresses()
        pairs = [(side, getattr(self, side)) for side in sides]
        return "".join(f" --{side} {url}" for side, url in pairs if url != getattr(usual, side))


_SCHEMES: dict[Side, tuple[str, str]] = {
    "public": ("http", "https"),
    "stream": ("ws", "wss"),
    "admin": ("http", "https"),
}


def as_url(side: Side, text: str) -> str:
    """Read ``host:port`` or a URL. An ``http`` URL where a ``ws`` one is wanted, or the other way round, is understood.

    Raises:
      ValueError: it is neither.
    """
    plain, secure = _SCHEMES[side]
    parts = urlsplit(text if "://" in text else f"{plain}://{text}")
    scheme = {"http": plain, "ws": plain, "https": secure, "wss": secure}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is not an address: write host:port or {plain}://host:port")
    _ = parts.port  # raises for what is no port number
    return f"{scheme}://{parts.netloc}"


def _option(side: Side) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    def convert(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
        try:
            return as_url(side, value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return click.option(
        f"--{side}",
        metavar="URL",
        envvar=f"FINSTREAM_{side.upper()}",
        default=getattr(Addresses(), side),
        show_default=True,
        show_envvar=True,
        callback=convert,
        help={
            "public": "The engine's public REST address.",
            "stream": "The engine's stream address.",
            "admin": "The engine's admin address.",
        }[side],
    )


def address_options(*sides: Side) -> Callable[[Callable[..., _R]], Callable[..., _R]]:
    """Give a command the options for these sides, and its function one argument ``addresses``."""

    def decorate(function: Callable[..., _R]) -> Callable[..., _R]:
        @wraps(function)
        def with_addresses(**arguments: Any) -> _R:
            given = {side: arguments.pop(side) for side in sides}
            return function(addresses=Addresses(**given), **arguments)

        decorated: Callable[..., _R] = with_addresses
        for side in reversed(sides):
            decorated = _option(side)(decorated)
        return decorated

    return decorate
