"""docs/configuration.md against the types: every key, with its default, and nothing that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from finstream.services.config import read
from finstream.services.config_plan import plan
from finstream.services.config_ranges import RANGES
from finstream.vocabulary.settings import LIVE_KEYS, AssetSettings, Settings, SinkSettings

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
ROW = re.compile(r"^\| `([a-z_.]+)` \| (.+?) \| (.+) \| (at once|restarts it|next start) \|$", re.MULTILINE)
ROWS = {key: (default.strip("`"), meaning, reload) for key, default, meaning, reload in ROW.findall(PAGE)}


def keys(kind: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key below a struct with its default; children aside."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from keys(field.type, f"{prefix}{field.name}.")
        elif field.name not in {"assets", "sinks"}:
            is_made = field.default_factory is not msgspec.NODEFAULT
            yield prefix + field.name, field.default_factory() if is_made else field.default


EXPECTED = {**dict(keys(Settings)), **dict(keys(AssetSettings)), **dict(keys(SinkSettings))}


@pytest.mark.parametrize("key", EXPECTED)
def test_every_key_is_explained_with_its_default(key: str) -> None:
    assert key in ROWS, "a row of this key"
    written, meaning, _reload = ROWS[key]
    if EXPECTED[key] is msgspec.NODEFAULT:
        assert written == "required"
    else:
        assert yaml.safe_load(written) == EXPECTED[key]
    assert len(meaning) > 5


def test_the_priority_of_an_asset_has_its_own_default() -> None:
    of_assets = PAGE.split("## `assets.NAME`")[1].split("## `sinks.NAME`")[0]
    assert f"| `priority` | `{AssetSettings(command=['x']).priority}` |" in of_assets


def test_nothing_is_explained_that_there_is_not() -> None:
    assert set(ROWS) == set(EXPECTED)


def test_all_defaults_are_all_defaults() -> None:
    written = PAGE.split("## All defaults")[1].split("```yaml")[1].split("```")[0]
    assert read(written, "docs") == Settings()
    document = yaml.safe_load(written)
    for key in dict(keys(Settings)):
        section, _, name = key.partition(".")
        assert not name or name in document[section], key
        assert section in document


@pytest.mark.parametrize("key", [key for key in EXPECTED if key in dict(keys(Settings))])
def test_what_a_reload_does_with_an_engine_key_is_true(key: str) -> None:
    section, _, name = key.partition(".")
    other: Any = {
        "mode": "simulation", "listen.origins": ["https://a.example"], "logs.level": "error",
        "client_classes": {"gold": {"priority": 9}},
        "market.url": "https://elsewhere.example.com/market-info", "market.simulate": "open", "restart_at": "03:30",
        "tls.cert_file": "other.pem", "tls.key_file": "other.pem",
        "listen.public": "127.0.0.1:1", "listen.stream": "127.0.0.1:2", "listen.admin": "127.0.0.1:3",
    }.get(key)  # fmt: skip
    if other is None:
        default = EXPECTED[key]
        other = f"{default}_" if isinstance(default, str) else default - 1
    before: dict[str, Any] = {"tls": {"cert_file": "one.pem", "key_file": "one.pem"}} if section == "tls" else {}
    if key == "market.simulate":
        before = {"mode": "simulation"}
    document = {**before, section: {**before.get(section, {}), name: other} if name else other}
    change = plan(read(yaml.safe_dump(before), "test"), read(yaml.safe_dump(document), "test"))
    assert change.hot == ([key] if ROWS[key][2] == "at once" else [])
    assert change.needs_engine_restart == ([key] if ROWS[key][2] == "next start" else [])


@pytest.mark.parametrize("kind", [AssetSettings, SinkSettings])
def test_what_a_reload_does_with_a_childs_key_is_true(kind: Any) -> None:
    for key, _default in keys(kind):
        assert ROWS[key][2] == ("at once" if key.partition(".")[0] in LIVE_KEYS else "restarts it"), key


def test_the_examples_are_good() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for example in examples:
        if "assets:" in example:
            read(example, "docs")
    assert sum("assets:" in example for example in examples) >= 3


def test_ranges_that_are_written_are_those_that_hold() -> None:
    plain = {"1,024": 1024, "1 GiB": 1 << 30, "65,536": 65_536, "1,000,000": 1_000_000, "1,000": 1000, "1 KiB": 1024,
             "1 TiB": 1 << 40, "1 s": 1, "an hour": 3600, "a day": 86_400, "30 days": 30 * 86_400, "0 s": 0, "0.1 s": 0.1,
             "1 ms": 1, "64": 64, "1": 1, "1 MiB": 1 << 20, "0": 0, "9": 9}  # fmt: skip
    found = 0
    for key, (_default, meaning, _reload) in ROWS.items():
        if written := re.search(r"[(;] ?([0-9a-zA-Z,. ]+?) to ([0-9a-zA-Z,. ]+?)[).]", meaning):
            low, high = (plain[word] for word in written.groups())
            if key.endswith("_ms") and written.group(2) == "an hour":
                high *= 1000
            assert RANGES.get(key, RANGES.get(f"*.{key}")) == (low, high), key
            found += 1
    assert found >= 10
