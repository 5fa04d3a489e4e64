"""What it takes to start one child: plain data.

Two equal specs need no new process. That is how a reload finds what it may leave alone, so what can change under a
running process (:data:`finstream.vocabulary.settings.LIVE_KEYS`) is not in here.
"""

from __future__ import annotations

import sys
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import AssetSettings, Settings, SinkSettings
from finstream.vocabulary.topics import Topic, parse_topic

__all__ = ["ENGINE_MARK", "ChildSpec", "EngineWords", "asset_specs", "sink_specs"]

ENGINE_MARK = "FINSTREAM_ENGINE"
"""The environment variable by which every descendant of an engine is found; it holds the engine's epoch."""

_NAMES = {"asset": "FINSTREAM_ASSET", "sink": "FINSTREAM_SINK"}


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to start one child."""

    name: str
    role: Literal["asset", "sink"]
    command: tuple[str, ...]
    """As configured; :meth:`argv` is what is executed."""
    cwd: str | None
    env: dict[str, str]
    """Set on top of the engine's own environment."""
    withheld: frozenset[str]
    """Variables of the engine's environment that the child does not get."""
    marks: tuple[str, ...]
    """``NAME=value`` entries of ``env`` by which its descendants are found, wherever they went."""
    unbuffer: Literal["none", "stdbuf", "pty"] = "none"
    origin: Literal["live", "replay", "synthetic"] = "live"
    stdout_full_s: float | None = None
    """None: its pipe may stay full for ever."""
    topics: tuple[Topic, ...] = ()
    """Of a sink: what it is fed."""

    def argv(self) -> list[str]:
        """What is executed. ``python`` is this engine's interpreter, so that a child finds the packages the engine
        has."""
        program = sys.executable if self.command[0] in {"python", "python3"} else self.command[0]
        wrapper = ["stdbuf", "-oL"] if self.unbuffer == "stdbuf" else []
        return [*wrapper, program, *self.command[1:]]


class EngineWords(NamedTuple):
    """What every child is told of its engine. It does not change while the engine runs, whatever is reloaded."""

    epoch: str
    mode: str
    token_env: str
    """The admin token's variable: the operator's, so no child gets it."""


def asset_specs(settings: Settings, engine: EngineWords) -> dict[str, ChildSpec]:
    """The specs of all configured assets, by name."""
    specs = {}
    for name, asset in settings.assets.items():
        # A replay is paced by its pipe, so a full pipe is how it should be.
        full_s = None if asset.origin == "replay" else asset.stdout_full_s
        spec = _spec(name, "asset", asset, engine)
        specs[name] = replace(spec, unbuffer=asset.unbuffer, origin=asset.origin, stdout_full_s=full_s)
    return specs


def sink_specs(settings: Settings, engine: EngineWords) -> dict[str, ChildSpec]:
    """The specs of all configured sinks, by name.

    Raises:
      ConfigError: a production sink, in an engine that simulates. The configuration's check says so before; this holds
      whatever became of that.
    """
    specs = {}
    for name, sink in settings.sinks.items():
        if sink.production and engine.mode != "production":
            raise ConfigError(f"sinks.{name}.production", "this engine simulates", "write mode: production, and restart it")
        topics = tuple(parse_topic(topic) for topic in dict.fromkeys(sink.topics))
        specs[name] = replace(_spec(name, "sink", sink, engine), topics=topics)
    return specs


def _spec(
    name: str, role: Literal["asset", "sink"], child: AssetSettings | SinkSettings, engine: EngineWords
) -> ChildSpec:
    ours = {_NAMES[role]: name, "FINSTREAM_MODE": engine.mode, ENGINE_MARK: engine.epoch}
    return ChildSpec(
        name=name,
        role=role,
        command=tuple(child.command),
        cwd=child.cwd,
        env={"PYTHONUNBUFFERED": "1", **child.env, **ours},
        # The names too: should this engine be another engine's child, its children are not.
        withheld=frozenset({engine.token_env, *_NAMES.values()}),
        marks=(f"{_NAMES[role]}={name}", f"{ENGINE_MARK}={engine.epoch}"),
    )
