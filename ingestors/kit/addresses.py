"""Addresses of venues: which may be used where, and what of one may be told."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from .exits import MisconfiguredError

__all__ = ["check_address", "shown"]

_ENCRYPTED: Final = {"ws": "wss", "http": "https"}
_TEST_WORDS: Final = frozenset(
    {"test", "testnet", "sandbox", "demo", "staging", "stage", "uat", "mock", "dev", "simulator", "paper", "beta"}
)
"""Parts of host names by which venues tell their test endpoints. The engine's own list has the same."""
_NOWHERE: Final = frozenset({"localhost", "test", "example", "invalid"})
"""Top-level domains that lead to no venue."""


def check_address(option: str, url: str, test_hosts: Collection[str] = ()) -> None:
    """Refuse, where the engine runs in production, what is no place to get real data from in safety.

    Args:
        option: The option that the address comes from, for the message.
        test_hosts: Hosts of the venue's test endpoints that ``_TEST_WORDS`` does not tell.

    Raises:
        MisconfiguredError: Mode production, and the address is not encrypted or a test endpoint's.
    """
    if os.environ.get("FINSTREAM_MODE") != "production":
        return
    parts = urlsplit(url)
    encrypted = _ENCRYPTED.get(parts.scheme)
    if encrypted is not None:
        raise MisconfiguredError(
            f"{option} {shown(url)} is not encrypted, which is refused in production: "
            f"write {encrypted}://, or set `mode: simulation` in the configuration"
        )
    host = (parts.hostname or "").rstrip(".")
    if host in test_hosts or _is_for_tests(host):
        raise MisconfiguredError(
            f"{option} {shown(url)} is a test endpoint, which is refused in production: leave {option} out for the "
            "venue's own address, or set `mode: simulation` in the configuration"
        )


def _is_for_tests(host: str) -> bool:
    """By its name, or because it is this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        *labels, top = host.split(".")
        return top in _NOWHERE or not _TEST_WORDS.isdisjoint(re.split(r"[.-]", ".".join(labels)))
    return address.is_loopback or address.is_unspecified


def shown(url: str) -> str:
    """For logs: without what may hold a key (name and password, query, fragment)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
