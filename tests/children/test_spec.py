"""What a configuration says, as what it takes to start a child."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from finstream.children.spec import EngineWords, asset_specs, sink_specs
from finstream.vocabulary.settings import LIVE_KEYS, AssetSettings, SinkSettings
from finstream.vocabulary.topics import Topic

ENGINE = EngineWords(epoch="e1", mode="production", token_env="TOKEN")


def asset(settings: Any, **members: Any) -> Any:
    return asset_specs(settings({"venue": {"command": ["venue-feed"]} | members}), ENGINE)["venue"]


def test_a_child_is_told_who_it_is(settings: Any) -> None:
    spec = asset(settings, env={"KEY": "value", "FINSTREAM_MODE": "what it likes"})
    assert spec.env == {
        "PYTHONUNBUFFERED": "1", "KEY": "value", "FINSTREAM_ASSET": "venue", "FINSTREAM_MODE": "production",
        "FINSTREAM_ENGINE": "e1",
    }
    assert spec.marks == ("FINSTREAM_ASSET=venue", "FINSTREAM_ENGINE=e1")
    assert "TOKEN" in spec.withheld


@pytest.mark.parametrize(
    ("command", "unbuffer", "argv"),
    [
        (["python", "-m", "x"], "none", [sys.executable, "-m", "x"]),
        (["python3", "-m", "x"], "pty", [sys.executable, "-m", "x"]),
        (["/usr/bin/python3", "x"], "none", ["/usr/bin/python3", "x"]),
        (["feed", "-v"], "stdbuf", ["stdbuf", "-oL", "feed", "-v"]),
        (["env", "python"], "none", ["env", "python"]),
    ],
)
def test_what_is_executed(settings: Any, command: list[str], unbuffer: str, argv: list[str]) -> None:
    assert asset(settings, command=command, unbuffer=unbuffer).argv() == argv


def test_a_replay_may_keep_its_pipe_full(settings: Any) -> None:
    assert asset(settings, origin="live").stdout_full_s == 10.0
    assert asset(settings, origin="replay").stdout_full_s is None


CHANGES: dict[str, Any] = {
    "command": ["venue-feed", "-v"], "cwd": "/", "env": {"A": "1"}, "unbuffer": "pty", "origin": "replay",
    "stdout_full_s": 3.0, "linger_s": 1.0, "stop_grace_s": 1.0, "start": "always", "kind": "data",
    "restart": {"max_s": 1.0}, "quality": {"future_ms": 5}, "priority": 1,
    "market": "nasdaq", "restart_at": "03:30",
}


def test_the_changes_are_complete() -> None:
    assert set(CHANGES) == set(AssetSettings.__struct_fields__)
    assert set(CHANGES) | set(SinkSettings.__struct_fields__) >= LIVE_KEYS


@pytest.mark.parametrize("key", CHANGES)
def test_only_live_keys_need_no_new_process(settings: Any, key: str) -> None:
    assert (asset(settings) == asset(settings, **{key: CHANGES[key]})) == (key in LIVE_KEYS)


def test_a_sink_has_its_topics_once(settings: Any) -> None:
    topics = ["a", "b:X/Y", "a"]
    spec = sink_specs(settings({}, {"file": {"command": ["cat"], "topics": topics}}), ENGINE)["file"]
    assert spec.topics == (Topic("a", None), Topic("b", "X/Y"))
    assert spec.marks == ("FINSTREAM_SINK=file", "FINSTREAM_ENGINE=e1")
