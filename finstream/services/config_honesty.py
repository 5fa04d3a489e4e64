"""Nothing made up under the name of something real: what ``mode: production`` refuses, and what must be told of itself anywhere.

What a program does cannot be seen from outside, but what it is told to do can: the simulator and our examples, replays of our own
ingestors and of rejected lines, and addresses in commands and environments. (Our programs refuse the former themselves, too, when
they are told that they run in production.)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import AssetSettings, Settings

__all__ = ["check_honesty"]

_SIMULATOR = re.compile(r"\bfinstream_ingestors[./]sim\b|ingestors/examples/(?:shell\.sh|node\.mjs)\b")
_OURS = re.compile(r"\bfinstream_ingestors[./]\w+")
_REPLAY = re.compile(r"(?:^|\s)--replay(?:[=\s]|$)")
_DEAD_LETTERS = re.compile(r"\bfinstream\S*\s+deadletter\s+replay\b")
_URL = re.compile(r"\b(?:wss?|https?)://[^\s\"'`,;|<>()]+", re.IGNORECASE)
_PROXY = re.compile(r"proxy", re.IGNORECASE)
"""How to get out of the house is not a venue's address."""
_TEST_WORDS = frozenset(
    {"test", "testnet", "sandbox", "demo", "staging", "stage", "uat", "mock", "dev", "simulator", "paper", "beta"}
)
_TEST_HOSTS = frozenset(
    {"wspap.okx.com", "wseeapap.okx.com", "wsuspap.okx.com", "stream.binancefuture.com", "dstream.binancefuture.com"}
)
"""Those whose names do not say so."""
_NOWHERE = frozenset({"localhost", "test", "example", "invalid"})
"""Top-level domains that lead to no venue."""

_REAL_OR_SIMULATION = "; or write mode: simulation, which marks every message as simulated"


def check_honesty(settings: Settings) -> None:
    """
    Raises:
      ConfigError: data that are made up could pass for real.
    """
    for name, asset in settings.assets.items():
        _check_origin(f"assets.{name}.origin", asset, settings.mode)
    if settings.mode == "production":
        _check_production(settings)
        return
    for name, sink in settings.sinks.items():
        if sink.production:
            problem = "a production sink gets nothing simulated, and in mode: simulation everything is"
            remedy = "write mode: production; or production: false, if the sink may take simulated data"
            raise ConfigError(f"sinks.{name}.production", problem, remedy)


def _check_origin(where: str, asset: AssetSettings, mode: str) -> None:
    if asset.origin != "live" and mode == "production":
        remedy = "write origin: live if the feed is real; else mode: simulation, which marks every message as simulated"
        raise ConfigError(where, f"{asset.origin} data is not allowed in mode: production", remedy)
    if asset.origin != "live":
        return
    command = " ".join(asset.command)
    found = "synthetic" if _SIMULATOR.search(command) else "replay" if _replays(command) else None
    if found is not None:
        doing = "makes its data up" if found == "synthetic" else "replays a recording"
        remedy = f"write origin: {found} and mode: simulation, or change the command"
        raise ConfigError(where, f"live, but its command {doing}", remedy)


def _replays(command: str) -> bool:
    has_option = _OURS.search(command) is not None and _REPLAY.search(command) is not None
    return has_option or _DEAD_LETTERS.search(command) is not None


def _check_production(settings: Settings) -> None:
    if settings.market.simulate is not None:
        problem = "a simulated market is not allowed in mode: production"
        raise ConfigError("market.simulate", problem, "write null" + _REAL_OR_SIMULATION)
    if settings.market.url is not None:
        _check_url("market.url", settings.market.url)
    for name, asset in settings.assets.items():
        for where, text in _texts(asset):
            for url in _URL.findall(text):
                _check_url(f"assets.{name}.{where}", url)


def _texts(asset: AssetSettings) -> Iterator[tuple[str, str]]:
    for index, word in enumerate(asset.command):
        option = word.partition("=")[0] if word.startswith("-") else asset.command[index - 1] if index else ""
        if not (option.startswith("-") and _PROXY.search(option)):
            yield f"command[{index}]", word
    for name, value in asset.env.items():
        if not _PROXY.search(name):
            yield f"env.{name}", value


def _check_url(where: str, url: str) -> None:
    scheme = url.partition(":")[0].lower()
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        raise ConfigError(where, f"{url!r} is not an address", "write it as the venue documents it") from None
    if _is_for_tests(host):
        problem = f"{host} is a test endpoint, which is not allowed in mode: production"
        raise ConfigError(where, problem, "write the venue's production address" + _REAL_OR_SIMULATION)
    if scheme in ("ws", "http"):
        problem = f"{scheme}://{host} is not encrypted, which is not allowed in mode: production"
        raise ConfigError(where, problem, f"write {scheme}s://" + _REAL_OR_SIMULATION)


def _is_for_tests(host: str) -> bool:
    """By its name, or because it is this machine. A private address may well be that of a gateway to the venue."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        *labels, top = host.split(".")
        words = set(re.split(r"[.-]", ".".join(labels)))
        return host in _TEST_HOSTS or top in _NOWHERE or not words.isdisjoint(_TEST_WORDS)
    return address.is_loopback or address.is_unspecified
