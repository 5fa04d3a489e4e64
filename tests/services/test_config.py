"""The configuration file: what is accepted, and how files are found and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from finstream.services.config import find_default, load, read
from finstream.services.config_ranges import RANGES
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import AssetSettings, ClientClass, Settings, SinkSettings


def test_no_key_gives_the_defaults() -> None:
    assert read("{}", "test.yaml") == Settings()


def test_sections_whose_keys_are_all_commented_out_are_empty() -> None:
    assert read("logs:\n  # level: debug\nassets:\nsinks:\n", "test.yaml") == Settings()


def test_every_key_can_be_set() -> None:
    text = """
        mode: simulation
        listen: {public: "0.0.0.0:0", stream: "[::1]:9001", admin: "localhost:9002", origins: ["https://a.example:8443"]}
        tls: {cert_file: one.pem, key_file: one.key}
        admin: {token_env: TOKEN}
        state: {path: s.db, reconnect_window_s: 1}
        limits: {outbox_bytes: 4096, outbox_age_ms: 100, line_bytes: 1000, clients: 1, topics_per_client: 2,
                 memory_soft_bytes: 2000000, memory_hard_bytes: 2000000}
        logs: {level: error}
        telemetry: {period_s: 1, summary_s: 60}
        dead_letters: {path: d.jsonl, max_bytes: 5000, files: 1}
        market: {url: "http://127.0.0.1:9/market-info", poll_open_s: 30, poll_closed_s: 600, simulate: pre-market}
        restart_at: "03:30"
        client_classes: {gold: {priority: 9}, standard: {priority: 0}}
        assets:
          sim:
            command: [sim, "--rate", "5"]
            cwd: /srv
            env: {KEY: value}
            stop_grace_s: 0
            restart:
              {initial_s: 1, max_s: 2.5, stable_s: 3, circuit_failures: 4, circuit_window_s: 5, circuit_cooldown_s: 6}
            kind: data
            origin: synthetic
            start: always
            linger_s: 0
            unbuffer: pty
            stdout_full_s: null
            quality:
              future_ms: null
              max_age_ms: 7
              duplicates: flag
              duplicate_window: 100
              out_of_order: drop
              crossed_quotes: ignore
              band_pct: 2.5
              price_anomalies: drop
              band_confirmations: 3
            priority: 0
            market: nasdaq
            restart_at: "00:00"
        sinks:
          file: {command: [tee], topics: [sim, "sim:BTC/USDT"], stop_grace_s: 1.5, production: false}
    """
    settings = read(text, "test.yaml")
    assert settings.listen.stream == "[::1]:9001"
    assert settings.state.reconnect_window_s == 1.0
    assert type(settings.state.reconnect_window_s) is float
    sim = settings.assets["sim"]
    assert (sim.kind, sim.origin, sim.start, sim.unbuffer) == ("data", "synthetic", "always", "pty")
    assert (sim.stdout_full_s, sim.quality.future_ms, sim.quality.max_age_ms) == (None, None, 7)
    assert sim.restart.max_s == 2.5
    assert settings.sinks["file"].topics == ["sim", "sim:BTC/USDT"]
    # Nothing was forgotten: the text names every key there is, so writing all of it out adds none.
    added = keys_of(msgspec.to_builtins(settings)) - keys_of(yaml.safe_load(text))
    assert {key for key in added if not key.startswith("sinks.")} == set()


def keys_of(value: Any, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return set()
    found = {f"{prefix}{key}" for key in value}
    return found.union(*(keys_of(item, f"{prefix}{key}.") for key, item in value.items()))


def test_anchors_and_merge_keys_save_repetition() -> None:
    settings = read(
        """
        assets:
          one: &usual {command: [one], linger_s: 3, quality: &strict {future_ms: 5}}
          two: {<<: *usual, command: [two]}
          three: {<<: *usual, quality: {<<: *strict, future_ms: 6}}
        """,
        "test.yaml",
    )
    assert [(asset.command, asset.linger_s) for asset in settings.assets.values()] == [
        (["one"], 3.0), (["two"], 3.0), (["one"], 3.0),
    ]  # fmt: skip
    assert settings.assets["three"].quality.future_ms == 6


def test_live_data_may_be_simulated_with() -> None:
    assert read("mode: simulation\nassets: {sim: {command: [x]}}", "test.yaml").assets["sim"].origin == "live"


def test_every_number_of_the_settings_has_a_range_that_holds_its_default() -> None:
    found: dict[str, list[float | None]] = {}

    def collect(kind: Any, prefix: str) -> None:
        for field in msgspec.structs.fields(kind):
            if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                collect(field.type, f"{prefix}{field.name}.")
            elif field.type in (int, float, int | None, float | None):
                found.setdefault(prefix + field.name, []).append(field.default)

    collect(Settings, "")
    collect(AssetSettings, "*.")
    collect(SinkSettings, "*.")
    collect(ClientClass, "client_classes.*.")
    assert set(found) == set(RANGES)
    for key, defaults in found.items():
        for default in defaults:
            if key == "*.quality.band_pct":
                assert default is None, "no price is out of line unless somebody says what the line is"
                continue
            assert default is not None
            assert RANGES[key].low <= default <= RANGES[key].high, key


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def refused_file(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.where == str(path)
        return str(caught.value)

    assert "no such file" in refused_file(tmp_path / "absent.yaml")
    assert "is a directory" in refused_file(tmp_path)
    assert "cannot be read" in refused_file(Path(__file__) / "below-a-file.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("mode: f\xfcr".encode("latin-1"))
    assert "not UTF-8 (byte 7)" in refused_file(latin)
    assert "larger than" in refused_file(Path("/dev/zero"))


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfmode: simulation\n")
    assert load(path).mode == "simulation"


def test_the_default_file_is_the_local_one_if_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = find_default()
    assert packaged.is_absolute()
    assert packaged.name == "config.yaml"
    Path("config").mkdir()
    Path("config/config.yaml").write_text("{}")
    assert find_default() == Path("config/config.yaml")


def test_the_configurations_that_come_with_the_package_are_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    production = load(find_default())
    assert production.mode == "production"
    assert {asset.origin for asset in production.assets.values()} == {"live"}
    assert load(find_default().with_name("demo.yaml")).mode == "simulation"


def test_a_sink_may_take_the_best_source() -> None:
    settings = read("sinks: {file: {command: [x], topics: [best, 'best:BTC/USDT']}}", "test.yaml")
    assert settings.sinks["file"].topics == ["best", "best:BTC/USDT"]
