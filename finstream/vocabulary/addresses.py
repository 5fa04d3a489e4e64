"""Addresses to listen on, ``host:port``, and which of them nobody else can reach."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from finstream.vocabulary.errors import ConfigError

__all__ = ["Address", "canonical_host", "is_loopback", "parse_address", "split_address"]


class Address(NamedTuple):
    host: str
    """Without brackets."""
    port: int

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def parse_address(text: str, where: str) -> Address:
    """``host:port``; an IPv6 address stands in brackets.

    Raises:
      ConfigError: it is not that.
    """
    host, colon, port = text.rpartition(":")
    remedy = "write host:port, like 127.0.0.1:8080 or [::1]:8080; port 0 picks a free one"
    if not colon or not host:
        raise ConfigError(where, f"{text!r} is not host:port", remedy)
    if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(where, f"{port!r} is not a port from 0 to 65535", remedy)
    if host.startswith("[") and host.endswith("]"):
        if not _is_ipv6(host[1:-1]):
            raise ConfigError(where, f"{host[1:-1]!r} is not an IPv6 address", remedy)
    elif ":" in host:
        raise ConfigError(where, f"{text!r}: an IPv6 address needs brackets", remedy)
    elif not re.fullmatch(r"[A-Za-z0-9._-]+", host):
        raise ConfigError(where, f"{host!r} is neither a host name nor an address", remedy)
    return split_address(text)


def split_address(text: str) -> Address:
    """Of what :func:`parse_address` has accepted before."""
    host, _, port = text.rpartition(":")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def is_loopback(host: str) -> bool:
    """Whether this host name or address is this machine's own, whatever a name server says."""
    host = canonical_host(host)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def canonical_host(host: str) -> str:
    """One spelling for all that mean the same: lower case, without brackets and the last dot, addresses at their shortest."""
    host = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
