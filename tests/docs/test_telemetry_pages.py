"""What docs/telemetry.md, docs/noc-protocol.md, the dashboard and the alerting rules say is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import yaml

from finstream.services.metrics_table import METRICS
from finstream.services.telemetry_view import Telemetry
from finstream.vocabulary.events import Event, TelemetryTick
from finstream.vocabulary.noc import NocMessage

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/telemetry.md").read_text()
NOC = (ROOT / "docs/noc-protocol.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \| (.*?) \| (.+) \|$", re.MULTILINE)
SERIES = {
    name for metric in METRICS for name in ([metric.name] if metric.kind != "histogram" else
    [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")])
}  # fmt: skip
NAME = re.compile(r"\b(?:finstream|process)_[a-z_]+\b")
LABELS = {label for metric in METRICS for label in metric.labels} | {"le", "job"}


def test_every_metric_is_in_the_table_as_it_is() -> None:
    written = [(name, kind, tuple(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in ROW.findall(PAGE)]
    assert written == [(each.name, each.kind, each.labels, each.help) for each in METRICS]


def test_every_member_of_telemetry_is_explained() -> None:
    explained = PAGE.split("## What is told")[1].split("## Health")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", explained, re.MULTILINE)
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(Telemetry.__struct_fields__)


def _expressions() -> list[tuple[str, str]]:
    dashboard = json.loads((ROOT / "deploy/grafana/finstream.json").read_text())
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]
    return found + [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(("title", "expression"), _expressions())
def test_dashboard_and_rules_name_metrics_that_there_are(title: str, expression: str) -> None:
    names = set(NAME.findall(expression))
    assert names <= SERIES
    assert names or expression.startswith("up{")
    # Enough of a parser to find what was mistyped: brackets that do not match, labels that no metric has.
    assert re.fullmatch(r"[\w\s{}()\[\]\"=~<>.*,|/$+-]+", expression)
    for one, other in ("()", "[]", "{}"):
        assert expression.count(one) == expression.count(other)
    for selector in re.findall(r"{(.*?)}", expression):
        assert set(re.findall(r"(\w+)\s*=", selector)) <= LABELS
    for counter in re.findall(r"\b\w+_total\b", expression):
        assert re.search(rf"(rate|increase)\({counter}", expression), "a counter means something only as a rate"


def test_the_rules_are_rules() -> None:
    (group,) = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names))
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= LABELS | {"instance"}


def test_the_dashboard_is_one() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/finstream.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(places) == len(set(places)) == len({panel["id"] for panel in dashboard["panels"]})
    assert all(0 < panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in dashboard["panels"])


def test_the_nocs_messages_are_as_written() -> None:
    blocks = re.findall(r"^```json\n(.*?)^```", NOC, flags=re.MULTILINE | re.DOTALL)
    kinds = set()
    for block in blocks:
        message = msgspec.json.decode(block, type=NocMessage)
        assert json.loads(msgspec.json.encode(message)) == json.loads(block)
        kinds.add(json.loads(block)["type"])
    assert kinds | {"telemetry"} == {each.__struct_config__.tag for each in get_args(NocMessage)}


def test_every_event_is_in_the_nocs_table() -> None:
    rows = re.findall(r"^\| ((?:`[A-Z]\w+`(?:, )?)+) \| (.+) \|$", NOC, re.MULTILINE)
    written = {name: set(re.findall(r"`(\w+)`", members)) for names, members in rows for name in re.findall(r"`(\w+)`", names)}
    there_are = {each.__struct_config__.tag: each for each in get_args(Event) if each is not TelemetryTick}
    assert set(written) == set(there_are)
    for name, event in there_are.items():
        assert set(event.__struct_fields__) <= written[name], name
