"""What types cannot say: ranges, addresses, names that refer to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from finstream.services.config_honesty import check_honesty
from finstream.services.config_ranges import check_ranges
from finstream.services.config_types import suggestion
from finstream.services.new_york import clock_time
from finstream.vocabulary.addresses import Address, parse_address
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.settings import AssetSettings, ListenSettings, Settings, SinkSettings, TlsSettings
from finstream.vocabulary.topics import ASSET_NAME, BEST, parse_topic

__all__ = ["check"]

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS_IN_ENVIRONMENT = "FINSTREAM_"


def check(settings: Settings) -> None:
    """
    Raises:
      ConfigError: for the first thing found wrong.
    """
    check_ranges(settings)
    _check_listen(settings.listen)
    _check_tls(settings.tls)
    _check_engine(settings)
    _check_market(settings.market.url)
    _check_time("restart_at", settings.restart_at)
    for name in settings.client_classes:
        _check_spelling(f"client_classes.{name}", name)
    for name, asset in settings.assets.items():
        _check_name(f"assets.{name}", name)
        _check_child(f"assets.{name}", asset)
        _check_time(f"assets.{name}.restart_at", asset.restart_at)
    for name, sink in settings.sinks.items():
        _check_name(f"sinks.{name}", name)
        if name in settings.assets:
            raise ConfigError(f"sinks.{name}", "an asset has this name already", "rename one of them")
        _check_child(f"sinks.{name}", sink)
        _check_topics(f"sinks.{name}.topics", sink, settings)
    check_honesty(settings)


def _check_listen(listen: ListenSettings) -> None:
    taken: dict[Address, str] = {}
    for key in ("public", "stream", "admin"):
        address = parse_address(getattr(listen, key), f"listen.{key}")
        if address.port and address in taken:
            raise ConfigError(f"listen.{key}", f"the same address as listen.{taken[address]}", "give each its own port")
        taken[address] = key
    for index, origin in enumerate(listen.origins):
        _check_web_origin(f"listen.origins[{index}]", origin)


def _check_web_origin(where: str, origin: str) -> None:
    try:
        parts = urlsplit(origin)
        right = parts.scheme in ("http", "https") and parts.hostname and origin == f"{parts.scheme}://{parts.netloc}"
        right = right and parts.username is None and (parts.port is None or parts.port > 0) and origin == origin.lower()
    except ValueError:
        right = False
    if not right:
        remedy = (
            "write scheme and host in lower case, a port if it is not the usual one, no path: https://dash.example.com"
        )
        raise ConfigError(where, f"{origin!r} is not a web origin", remedy)


def _check_tls(tls: TlsSettings) -> None:
    for key, file, other in (("cert_file", tls.cert_file, "key_file"), ("key_file", tls.key_file, "cert_file")):
        if file is None and getattr(tls, other) is not None:
            raise ConfigError(f"tls.{key}", f"is missing, while tls.{other} is set", "set both, or neither for no TLS")
        if file is not None and (not file or "\0" in file or file.endswith("/")):
            raise ConfigError(f"tls.{key}", f"{file!r} is not the path of a file", "name a PEM file, or write null")


def _check_engine(settings: Settings) -> None:
    if not _ENVIRONMENT_NAME.fullmatch(settings.admin.token_env):
        remedy = "name the variable here, and put the token into the variable"
        raise ConfigError("admin.token_env", "not the name of an environment variable", remedy)
    for where, path in (("state.path", settings.state.path), ("dead_letters.path", settings.dead_letters.path)):
        if not path or "\0" in path or path.endswith("/"):
            raise ConfigError(where, f"{path!r} is not the path of a file", "write a path like var/name")
    if settings.state.path == settings.dead_letters.path:
        raise ConfigError("dead_letters.path", "the same file as state.path", "give each its own file")


def _check_time(where: str, time: str | None) -> None:
    try:
        if time is not None:
            clock_time(time)
    except ValueError as error:
        remedy = 'write the hour and the minute in New York, from "00:00" to "23:59", in quotes'
        raise ConfigError(where, str(error), remedy) from None


def _check_market(url: str | None) -> None:
    if url is None:
        return
    remedy = "write a URL like https://api.nasdaq.com/api/market-info, or null"
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right:
        raise ConfigError("market.url", f"{url!r} is not the address of a market-info API", remedy)


def _check_spelling(where: str, name: str) -> None:
    if not ASSET_NAME.fullmatch(name):
        remedy = "use lower-case letters, digits, '_', '.' and '-', at most 64, and begin with a letter or digit"
        raise ConfigError(where, f"{name!r} cannot be a name", remedy)


def _check_name(where: str, name: str) -> None:
    _check_spelling(where, name)
    if name == BEST:
        problem = f"{name} is reserved: in topics it stands for the best source, whichever that is"
        raise ConfigError(where, problem, "choose another name")


def _check_child(where: str, child: AssetSettings | SinkSettings) -> None:
    if not child.command or not child.command[0].strip():
        remedy = 'write the program and its arguments, like ["python", "-m", "finstream_ingestors.binance"]'
        raise ConfigError(f"{where}.command", "names no program", remedy)
    for key, text in _texts_for_the_kernel(child):
        if "\0" in text:
            raise ConfigError(f"{where}.{key}", "holds a NUL character", "remove it")
    if child.cwd == "":
        raise ConfigError(f"{where}.cwd", "is empty", "name a directory, or leave the key out for the engine's own")
    for name in child.env:
        if not name or "=" in name:
            raise ConfigError(f"{where}.env", f"{name!r} cannot name a variable", "use letters, digits and '_'")
        if name.startswith(_OURS_IN_ENVIRONMENT):
            raise ConfigError(f"{where}.env.{name}", "names with FINSTREAM_ are set by the engine", "use another name")


def _texts_for_the_kernel(child: AssetSettings | SinkSettings) -> Iterator[tuple[str, str]]:
    for index, word in enumerate(child.command):
        yield f"command[{index}]", word
    yield "cwd", child.cwd or ""
    for name, value in child.env.items():
        yield f"env.{name}", name + value


def _check_topics(where: str, sink: SinkSettings, settings: Settings) -> None:
    if not sink.topics:
        raise ConfigError(where, "is empty", "list what the sink is to get, like [binance, kraken:BTC/USDT]")
    seen: set[str] = set()
    for index, text in enumerate(sink.topics):
        try:
            topic = parse_topic(text)
        except RequestError as error:
            raise ConfigError(f"{where}[{index}]", error.detail, "write asset or asset:SYMBOL") from None
        if topic.asset != BEST and topic.asset not in settings.assets:
            problem = f"there is no asset {topic.asset!r}"
            raise ConfigError(f"{where}[{index}]", problem, suggestion(topic.asset, settings.assets))
        if text in seen:
            raise ConfigError(f"{where}[{index}]", f"{text!r} is listed twice", "keep one of them")
        seen.add(text)
