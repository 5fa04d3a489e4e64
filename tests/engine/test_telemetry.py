"""What an engine tells of itself, over REST, as metrics and as health; of a real engine with real ingestors, clients and a sink."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from finstream.pump import CHECKS_OF_QUALITY
from finstream.services.metrics_table import METRICS
from finstream.services.telemetry_view import Telemetry
from finstream.vocabulary.reasons import CLOSINGS

SABOTEUR = """
import os, socket, threading
def sabotage(orders):
    # Each line names a port: whoever listens there stops doing so, as if the kernel had taken the socket away.
    for line in open(orders):
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                found = socket.socket(fileno=os.dup(fd))
            except OSError:
                continue
            with found:
                try:
                    if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and found.getsockname()[1] == int(line):
                        found.shutdown(socket.SHUT_RDWR)
                        break  # further descriptors are the same socket
                except OSError:
                    continue
threading.Thread(target=sabotage, args=(os.environ["ORDERS"],), daemon=True).start()
"""


def readiness(engine: Any, side: str) -> tuple[int, str]:
    answer = getattr(engine, side)("GET", "/health/readiness")
    return answer.status_code, answer.json().get("detail", "")


@pytest.fixture
def busy(engine: Any, tools: Any) -> Any:
    """An engine that has had something of everything."""
    engine.config["assets"] |= {"bad": engine.asset("garbage", start="always"), "idle": engine.asset("ticker")}
    engine.config["sinks"] = {"drain": {"command": ["sh", "-c", "exec cat >/dev/null"], "topics": ["tick"]}}
    engine.start()
    left = engine.register()
    with engine.connect(left) as client:
        client.send('{"op":"subscribe","topics":["tick"]}')
        tools.hear(client, "tick")
    engine.admin("POST", "/v1/config/reload")

    def is_told() -> bool:  # it may be a second old
        now = telemetry(engine)
        return bool(now["pump"]["lines"] and now["assets"][0]["ticks"] and now["clients"]["endings"])

    tools.until(is_told)
    return engine


def telemetry(engine: Any) -> dict[str, Any]:
    answer = engine.admin("GET", "/v1/telemetry")
    assert answer.status_code == 200, answer.text
    msgspec.json.decode(answer.content, type=Telemetry, strict=True)
    found: dict[str, Any] = answer.json()
    return found


def test_it_tells_what_is(busy: Any, tools: Any) -> None:
    connected = busy.register()
    with busy.connect(connected) as client:
        client.send('{"op":"subscribe","topics":["tick","idle:BTC/USDT"],"policy":"conflate"}')
        tools.hear(client, "tick")
        tools.until(lambda: telemetry(busy)["clients"]["connected"] == 1)
        first = telemetry(busy)

        def flowing() -> Any:
            now = telemetry(busy)
            return now if now["at"] > first["at"] and now["client_rates"].get(connected, {}).get("deliveries_per_s") else None

        later = tools.until(flowing)
        # What is counted is what others count, too.
        assert later["clients"]["registered"] == 2
        [listed] = later["clients"]["listed"]
        assert (listed["uuid"], listed["topics"], listed["policies"]) == (connected, 2, {"conflate": 2})
        mine = busy.client(connected)["statistics"]
        assert 0 < listed["outbox"]["delivered"] <= mine["delivered"]
        assert later["rates"]["deliveries_per_s"] > later["client_rates"][connected]["deliveries_per_s"] / 2
    assets = {asset["name"]: asset for asset in later["assets"]}
    assert list(assets) == ["tick", "bad", "idle"]
    tick = assets["tick"]
    assert (tick["state"], tick["wanted_by"], tick["rejected"], tick["arena"]["degraded"]) == ("running", 2, {}, False)
    assert tick["ticks_per_s"] == pytest.approx(tick["lines"] / later["uptime_s"], rel=3)
    assert tick["process"]["pid"] == tick["pid"] == busy.asset_state("tick")["pid"]
    assert Path(f"/proc/{tick['pid']}").exists()
    assert tick["process"]["memory_bytes"] > 100_000
    assert set(assets["bad"]["rejected"]) == {"not_json", "decimal_out_of_range"}
    assert assets["bad"]["rejected_per_s"] > 0
    assert assets["idle"]["state"] in {"running", "starting"}
    [sink] = later["sinks"]
    assert (sink["name"], sink["state"], sink["topics"]) == ("drain", "running", ["tick"])
    assert sink["outbox"]["delivered"] > 0
    assert later["clients"]["endings"] == {"client_left": 1}
    assert later["system"]["engine"]["pid"] == busy.process.pid
    assert sum(later["pump"]["turns_by_lines"]) <= later["pump"]["batches"]
    assert later["config"] == {"reloads": 1, "rejections": 0}
    assert later["servers"]["not_ready"] == []


def test_the_health_of_a_feed_is_told(engine: Any, tools: Any) -> None:
    engine.config["assets"] |= {
        "broken": {"command": ["sh", "-c", "exit 3"], "origin": "synthetic", "start": "always"},
        "words": engine.asset("ticker", start="always", kind="data"),
        "idle": engine.asset("ticker"),
    }
    engine.config["assets"]["tick"]["start"] = "always"
    engine.start()

    def health() -> dict[str, Any]:
        return {asset["name"]: asset["health"] for asset in telemetry(engine)["assets"]}

    # It is well until it has failed for the first time.
    tools.until(lambda: (health()["broken"] or {}).get("state") == "down" and (health()["tick"] or {}).get("age_ms") is not None)
    found = health()
    assert found["broken"] == {"state": "down", "cause": "not_running", "age_ms": None}
    assert (found["tick"]["state"], found["tick"]["cause"]) == ("live", None)
    assert 0 <= found["tick"]["age_ms"] < 10_000
    assert found["words"] is found["idle"] is None
    families = {family.name: family for family in text_string_to_metric_families(engine.public("GET", "/metrics").text)}
    told = [(sample.labels, sample.value) for sample in families["finstream_asset_health"].samples]
    assert ({"asset": "broken", "state": "down", "cause": "not_running"}, 1) in told
    assert ({"asset": "tick", "state": "live", "cause": "none"}, 1) in told
    assert len(told) == 2
    engine.admin("POST", "/v1/assets/tick/pause")
    tools.until(lambda: health()["tick"] is None)


def test_where_the_market_is_not_open_telemetry_and_the_arena_agree(engine: Any, tools: Any) -> None:
    engine.config["market"] = {"simulate": "after-hours"}
    once = """printf '{"symbol":"AAPL","price":"1","ts":%s}\\n' "$(date +%s%N)"; exec sleep 3600"""
    engine.config["assets"]["share"] = {"command": ["sh", "-c", once], "origin": "synthetic", "start": "always", "market": "nasdaq"}
    engine.start()

    def place() -> dict[str, Any]:
        return next(asset for asset in telemetry(engine)["assets"] if asset["name"] == "share")["arena"] or {}

    # Anywhere else this silence would be held against it.
    told = tools.until(lambda: (found := place()).get("silent_ms", 0) > 2500 and found)
    assert told["lag_smoothed_us"] < 1_000_000
    ranked = next(row for row in engine.public("GET", "/v1/arena").json()["arena"] if row["asset"] == "share")
    assert (told["severity"], told["degraded"]) == (ranked["severity"], ranked["degraded"]) == (0, False)
    assert '\nfinstream_asset_severity{asset="share"} 0\n' in engine.public("GET", "/metrics").text


def test_without_a_file_descriptor_left_it_goes_on(engine: Any, tools: Any) -> None:
    engine.config["telemetry"] = {"period_s": 1}
    engine.start()
    with connect(engine.ready["admin"].replace("http", "ws", 1) + "/v1/noc", proxy=None, legacy=True, max_size=1 << 24) as noc:
        noc.send('{"op":"watch","telemetry_s":1,"events":false}')
        tools.hear(noc, "telemetry")
        _, most = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE)
        before = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (8, most))  # more are open, and stay so
        with ExitStack() as waiting:
            for side in ("public", "admin"):  # nobody can be let in, and it is tried ten times a second
                host, port = engine.ready[side].removeprefix("http://").split(":")
                waiting.enter_context(socket.create_connection((host, int(port))))
            for _ in range(3):
                tools.hear(noc, "telemetry")
        assert engine.process.poll() is None
        assert "retrying" in engine.log_text()
        assert engine.log_text().count("accept returned EMFILE") == 1
        resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, before)
    tools.until(lambda: telemetry(engine)["system"]["most_fds"] == before[0])
    assert engine.stop() == 0


def test_who_was_let_go_is_told_with_the_receipt(engine: Any, tools: Any) -> None:
    engine.config["assets"] = {"flood": engine.asset("flood")}
    engine.config["limits"] = {"outbox_bytes": 2048, "outbox_age_ms": 50}
    engine.start()
    slow = engine.register()
    with engine.connect(slow, max_queue=1) as client:
        client.send('{"op":"subscribe","topics":["flood"]}')
        ended = tools.until(lambda: telemetry(engine)["clients"]["recent_endings"])
    assert ended[0]["client"] == slow
    assert ended[0]["receipt"]["reason"] in {"slow_consumer_bytes", "slow_consumer_age"}
    assert telemetry(engine)["clients"]["endings"] == {ended[0]["receipt"]["reason"]: 1}
    assert telemetry(engine)["clients"]["totals"]["killed"] == ended[0]["receipt"]["queued_messages"]


def test_the_metrics_are_those_of_the_table(busy: Any) -> None:
    answer = busy.public("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    # The parser takes the ending off a counter's name.
    assert set(families) == {metric.name.removesuffix("_total") for metric in METRICS}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert metric.kind != "counter" or metric.name.endswith("_total")
        assert not re.search(r"_(ms|us|ns|milliseconds|kib|mib|percent)(_|$)", metric.name), "base units only"
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)
    ended = {sample.labels["reason"]: sample.value for sample in families["finstream_connections_ended"].samples}
    assert ended == dict.fromkeys(CLOSINGS, 0) | {"client_left": 1}
    ticks = {sample.labels["asset"]: sample.value for sample in families["finstream_asset_ticks"].samples}
    assert ticks["tick"] > 0
    assert {sample.value for sample in families["finstream_ready"].samples} == {1}


def test_what_happens_for_the_first_time_is_seen_as_an_increase(busy: Any, tools: Any) -> None:
    families = {family.name: family for family in text_string_to_metric_families(busy.public("GET", "/metrics").text)}
    rejections = {sample.labels["asset"]: sample.value for sample in families["finstream_asset_rejections"].samples}
    assert rejections["tick"] == rejections["idle"] == 0
    questioned = [sample for sample in families["finstream_asset_questioned_ticks"].samples if sample.labels["asset"] == "tick"]
    assert [(sample.labels["check"], sample.value) for sample in questioned] == [(check, 0) for check in CHECKS_OF_QUALITY]

    def told() -> dict[str, float]:
        text = busy.public("GET", "/metrics").text
        found = {family.name: family for family in text_string_to_metric_families(text)}
        by_reason = [sample.value for sample in found["finstream_asset_rejected_lines"].samples if sample.labels["asset"] == "bad"]
        total = [sample.value for sample in found["finstream_asset_rejections"].samples if sample.labels["asset"] == "bad"]
        return {"total": total[0], "sum": sum(by_reason)}

    now = tools.until(lambda: (found := told())["total"] > 0 and found)
    assert now["total"] == now["sum"]


def test_the_distribution_of_an_assets_lags_is_told(busy: Any, tools: Any) -> None:
    def quantiles() -> dict[str, float]:
        families = {family.name: family for family in text_string_to_metric_families(busy.public("GET", "/metrics").text)}
        samples = families["finstream_asset_lag_quantile_seconds"].samples
        assert all(sample.labels["asset"] != "bad" for sample in samples), "it has told no lag"
        return {sample.labels["quantile"]: sample.value for sample in samples if sample.labels["asset"] == "tick"}

    found = tools.until(quantiles)
    assert list(found) == ["0.5", "0.9", "0.99"]
    assert 0 <= found["0.5"] <= found["0.9"] <= found["0.99"] < 10, "seconds"
    # What has told nothing for over a second is degraded, too.
    tools.until(lambda: "\nfinstream_degraded_assets 1\n" in busy.public("GET", "/metrics").text)


def test_a_histogram_is_one(busy: Any) -> None:
    families = {family.name: family for family in text_string_to_metric_families(busy.public("GET", "/metrics").text)}
    samples = families["finstream_pump_turn_lines"].samples
    buckets = [(float(each.labels["le"]), each.value) for each in samples if each.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    total = next(each.value for each in samples if each.name.endswith("_sum"))
    count = next(each.value for each in samples if each.name.endswith("_count"))
    assert buckets[-1] == (float("inf"), count)
    assert 0 < count <= total


def test_clients_and_symbols_make_no_labels(busy: Any, tools: Any) -> None:
    def lines() -> list[str]:
        text = busy.public("GET", "/metrics").text
        return sorted(re.sub(r" \S+$", "", line) for line in text.splitlines() if not line.startswith("#"))

    # What an asset rejected for the first time may add a line; clients and symbols must not.
    tools.until(lambda: 'finstream_asset_rejected_lines_total{asset="bad",reason="not_json"}' in lines())
    time.sleep(1.1)  # what is told may be a second old
    before = lines()
    uuids = [busy.register() for _ in range(20)]
    with busy.connect(uuids[0]) as client:
        client.send(json.dumps({"op": "subscribe", "topics": ["tick"], "id": 1}))
        tools.hear(client, "tick")
        tools.until(lambda: telemetry(busy)["clients"]["connected"] == 1)
        time.sleep(1.1)
        during = lines()
    assert during == before
    assert not any(uuid in line for uuid in uuids for line in during)
    assert not any("BTC" in line for line in during)


@pytest.mark.parametrize(("listener", "asked_at"), [("stream", "public"), ("public", "admin"), ("admin", "public")])
def test_readiness_fails_while_a_listener_is_down(engine: Any, tools: Any, listener: str, asked_at: str) -> None:
    orders = engine.directory / "orders"
    os.mkfifo(orders)
    engine.environment["ORDERS"] = str(orders)
    engine.program = SABOTEUR + engine.program
    engine.launch()
    with orders.open("w", buffering=1) as saboteur:  # the engine waits for this to be opened
        engine.await_ready()
        assert readiness(engine, asked_at) == (200, "")
        port = engine.ready[listener].rpartition(":")[2]
        saboteur.write(f"{port}\n")
        tools.until(lambda: readiness(engine, asked_at)[0] == 503)
        assert readiness(engine, asked_at)[1] == f"listen.{listener} accepts no connections"
        # The process is alive all the same: a restart is for whoever watches readiness to decide.
        assert getattr(engine, asked_at)("GET", "/health/liveness").json() == {"status": "alive"}
        if asked_at == "public":
            tools.until(lambda: "\nfinstream_ready 0\n" in engine.public("GET", "/metrics").text)
        else:
            tools.until(lambda: telemetry(engine)["servers"]["not_ready"] == [f"listen.{listener} accepts no connections"])


def test_the_log_gets_a_summary(engine: Any) -> None:
    engine.config["telemetry"] = {"period_s": 1, "summary_s": 1}
    engine.config["assets"]["tick"]["start"] = "always"
    engine.start()
    summary = engine.log("summary", least=2)[1]
    assert summary["component"] == "telemetry"
    assert summary["assets"] == {"running": 1}
    assert summary["lines"] > 0
    assert summary["connected"] == 0


def test_the_period_is_reloaded(engine: Any, tools: Any) -> None:
    engine.config["telemetry"] = {"period_s": 3600, "summary_s": 1}
    engine.start()
    assert engine.log("summary") == []
    engine.config["telemetry"]["period_s"] = 1
    engine.configure()
    assert engine.log("summary", least=1)
    assert engine.log("configuration reloaded")[0]["hot"] == ["telemetry.period_s"]
