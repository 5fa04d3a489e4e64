"""Where the engine is: options, environment variables, and the defaults of the configuration."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from finstream.cli.trust import trusting
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
    ca_file: str | None = None
    """PEM certificates that are trusted besides the system's, where the addresses are https and wss."""

    def trust(self) -> ssl.SSLContext | None:
        """For TLS connections to these addresses; None where there will be none."""
        secure = any(url.startswith(("https:", "wss:")) for url in (self.public, self.stream, self.admin))
        return trusting(self.ca_file) if secure else None

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


def _check_ca_file(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        trusting(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


_CA_FILE = click.option(
    "--ca-file",
    metavar="FILE",
    envvar="FINSTREAM_CA_FILE",
    show_envvar=True,
    callback=_check_ca_file,
    help="Certificates (PEM) to trust besides the system's, for addresses with https and wss.",
)


def address_options(*sides: Side) -> Callable[[Callable[..., _R]], Callable[..., _R]]:
    """Give a command the options for these sides and --ca-file, and its function one argument ``addresses``."""

    def decorate(function: Callable[..., _R]) -> Callable[..., _R]:
        @wraps(function)
        def with_addresses(**arguments: Any) -> _R:
            given = {side: arguments.pop(side) for side in sides}
            return function(addresses=Addresses(**given, ca_file=arguments.pop("ca_file")), **arguments)

        decorated: Callable[..., _R] = _CA_FILE(with_addresses)
        for side in reversed(sides):
            decorated = _option(side)(decorated)
        return decorated

    return decorate
