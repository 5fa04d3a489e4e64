"""Which web pages may talk to us, and under which names we answer.

A browser lets any page send requests to any address, also to this machine's own. Two things betray such a page:

* its ``Origin``, which browsers send with every request that can change something and with every WebSocket handshake.
  Ours are the pages that our own listeners serve, and those of ``listen.origins``;
* the ``Host`` under which it found us. A page whose host name was made to point at 127.0.0.1 (DNS rebinding) counts
  as one of ours for the browser, but it still says its own name. So a listener on loopback answers to loopback names
  only.

Programs that are no browsers send no ``Origin`` and are not concerned.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from finstream.vocabulary.addresses import canonical_host, is_loopback
from finstream.vocabulary.errors import RequestError

__all__ = ["Origins"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origins:
    """``configured`` is ``listen.origins``; ``bound`` are the addresses of our listeners, host and port as really
    bound."""

    def __init__(self, configured: Iterable[str], bound: Iterable[tuple[str, int]]) -> None:
        self._configured = {place for place in map(_place, configured) if place}
        self._names = {host for _, host, _ in self._configured}
        bound = list(bound)
        self._ports = {port for _, port in bound}
        self._hosts = {canonical_host(host) for host, _ in bound}
        self._wildcard = any(_is_wildcard(host) for host in self._hosts)

    def check_host(self, host: str | None, listener: str) -> None:
        """``host`` is the request's ``Host``, ``listener`` the address that the listener is bound to.

        Raises:
          RequestError: ``foreign-host``.
        """
        if not host or not is_loopback(listener):  # browsers always send one
            return
        name = canonical_host(urlsplit(f"//{host}").hostname or "") if _parses(host) else ""
        if not is_loopback(name) and name not in self._names:
            raise RequestError(
                "foreign-host",
                f"this listener is on loopback and does not answer to the name {host[:256]!r}; "
                "if a proxy of yours uses it, add its origin to listen.origins",
            )

    def check_origin(self, origin: str | None) -> None:
        """``origin`` is the request's ``Origin``, None when it has none.

        Raises:
          RequestError: ``foreign-origin``.
        """
        if origin is not None and not self.is_ours(origin):
            raise RequestError(
                "foreign-origin",
                f"pages of {origin[:256]!r} may not do this; add the origin to listen.origins if they should",
            )

    def is_ours(self, origin: str) -> bool:
        place = _place(origin)
        if place is None:
            return False
        if place in self._configured:
            return True
        _, host, port = place
        if port not in self._ports:
            return False
        if host in self._hosts or (is_loopback(host) and any(map(is_loopback, self._hosts))):
            return True
        # Bound to every address of this machine we do not know its names, but an address cannot be made to point
        # elsewhere.
        return self._wildcard and (is_loopback(host) or _is_address(host))


def _place(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host, port; None for what is no web origin, like ``null``."""
    if not _parses(origin):
        return None
    parts = urlsplit(origin.strip())
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        return None
    return parts.scheme, canonical_host(parts.hostname), parts.port or _DEFAULT_PORTS[parts.scheme]


def _parses(text: str) -> bool:
    try:
        _ = urlsplit(text if "://" in text else f"//{text}").port
    except ValueError:
        return False
    return True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified
