from __future__ import annotations

import msgspec
import pytest

from finstream.services.config import read
from finstream.services.config_plan import Plan, plan, with_engine_keys_of
from finstream.vocabulary.settings import LIVE_KEYS, AssetSettings, Settings


def settings(text: str) -> Settings:
    return read(text, "test.yaml")


BASE = """
mode: simulation
assets:
  stays: {command: [a]}
  changes: {command: [b]}
  goes: {command: [c]}
sinks:
  file: {command: [tee], topics: [stays]}
"""


def test_from_nothing_everything_is_started() -> None:
    assert plan(None, settings(BASE)) == Plan(
        started=["stays", "changes", "goes", "file"], stopped=[], restarted=[], unchanged=[]
    )


def test_the_same_settings_change_nothing() -> None:
    assert plan(settings(BASE), settings(BASE)) == Plan(
        started=[], stopped=[], restarted=[], unchanged=["stays", "changes", "goes", "file"]
    )


def test_the_order_of_keys_and_written_defaults_are_no_change() -> None:
    other = """
    sinks: {file: {topics: [stays], command: [tee]}}
    mode: simulation
    logs: {level: info}
    assets:
      goes: {command: [c], linger_s: 10}
      changes: {restart: {max_s: 60.0}, command: [b]}
      stays: {command: [a], kind: pricing}
    """
    change = plan(settings(BASE), settings(other))
    assert change == Plan(started=[], stopped=[], restarted=[], unchanged=["goes", "changes", "stays", "file"])


def test_children_are_started_stopped_restarted_or_left_alone() -> None:
    new = """
    mode: simulation
    assets:
      stays: {command: [a]}
      changes: {command: [b], env: {A: b}}
      comes: {command: [d]}
    sinks:
      file: {command: [tee], topics: [stays, comes]}
    """
    assert plan(settings(BASE), settings(new)) == Plan(
        started=["comes"], stopped=["goes"], restarted=["changes", "file"], unchanged=["stays"]
    )


def test_what_takes_effect_under_a_running_process_restarts_nothing() -> None:
    new = """
    mode: simulation
    logs: {level: debug}
    assets:
      stays: {command: [a], linger_s: 1, start: always, kind: data, quality: {max_age_ms: 5}, stop_grace_s: 1}
      changes: {command: [other], linger_s: 1}
      goes: {command: [c], restart: {max_s: 5, initial_s: 1}}
    sinks:
      file: {command: [tee], topics: [stays], stop_grace_s: 2}
    """
    assert plan(settings(BASE), settings(new)) == Plan(
        started=[],
        stopped=[],
        restarted=["changes"],
        unchanged=["stays", "goes", "file"],
        hot=[
            "logs.level",
            "assets.stays.stop_grace_s",
            "assets.stays.kind",
            "assets.stays.start",
            "assets.stays.linger_s",
            "assets.stays.quality.max_age_ms",
            "assets.goes.restart.initial_s",
            "assets.goes.restart.max_s",
            "sinks.file.stop_grace_s",
        ],
    )


@pytest.mark.parametrize("key", sorted(set(AssetSettings.__struct_fields__) - LIVE_KEYS))
def test_every_other_key_needs_a_new_process(key: str) -> None:
    other = {
        "command": ["other"], "cwd": "/", "env": {"A": "b"}, "origin": "replay", "unbuffer": "pty", "stdout_full_s": 1,
    }  # fmt: skip
    old = settings(BASE)
    new = msgspec.structs.replace(old, assets=dict(old.assets))
    new.assets["changes"] = msgspec.structs.replace(old.assets["changes"], **{key: other[key]})
    change = plan(old, new)
    assert (change.restarted, change.unchanged, change.hot) == (["changes"], ["stays", "goes", "file"], [])


def test_an_asset_that_becomes_a_sink_is_restarted() -> None:
    old = settings("assets: {a: {command: [x]}, b: {command: [y]}}")
    new = settings("assets: {b: {command: [y]}}\nsinks: {a: {command: [x], topics: [b]}}")
    assert plan(old, new).restarted == ["a"]


def test_keys_of_the_engine_are_told_by_when_they_take_effect() -> None:
    new = """
    mode: production
    listen: {public: "127.0.0.1:1", origins: ["https://a.example"]}
    limits: {outbox_age_ms: 7}
    state: {path: other.db}
    logs: {level: debug}
    dead_letters: {files: 2}
    admin: {token_env: OTHER}
    """
    change = plan(settings("mode: simulation"), settings(new))
    assert change.hot == ["logs.level"]
    assert change.needs_engine_restart == [
        "mode", "listen.public", "listen.origins", "admin.token_env", "state.path", "limits.outbox_age_ms",
        "dead_letters.files",
    ]  # fmt: skip


def test_what_takes_effect_while_the_engine_runs() -> None:
    running = settings("mode: simulation\nlimits: {clients: 5}\nassets: {old: {command: [x]}}")
    new = settings("limits: {clients: 6}\nlogs: {level: error}\nassets: {new: {command: [y]}}")
    effective = with_engine_keys_of(running, new)
    assert (effective.mode, effective.limits.clients) == ("simulation", 5)
    assert (effective.logs.level, list(effective.assets)) == ("error", ["new"])
