"""``finstream config``: files, no engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
SHIPPED = sorted(ROOT.glob("config/**/*.yaml"))

OLD = "assets:\n  kept: {command: [a]}\n  gone: {command: [b]}\n  other: {command: [c]}\n"
NEW = """\
logs: {level: debug}
state: {path: x.db}
assets:
  kept: {command: [a]}
  other: {command: [d]}
  new: {command: [e]}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(OLD)
    new.write_text(NEW)
    return str(old), str(new)


@pytest.mark.parametrize("file", SHIPPED, ids=[str(file.relative_to(ROOT)) for file in SHIPPED])
def test_the_configurations_that_we_ship_are_good(finstream: Run, file: Path) -> None:
    told = finstream("config", "check", str(file), "--elsewhere")  # the certificate that an example names is not here
    assert (told.returncode, told.stderr) == (0, "")
    assert f"{file}: good (" in told.stdout


def test_the_default_is_production_on_real_venues_only(finstream: Run) -> None:
    told = json.loads(finstream("config", "check", str(ROOT / "config/config.yaml"), "--json").stdout)
    assert told["mode"] == "production"
    assert told["assets"] == ["binance", "coinbase", "kraken", "okx", "yahoo"]


def test_the_demo_is_simulation(finstream: Run) -> None:
    told = json.loads(finstream("config", "check", str(ROOT / "config/demo.yaml"), "--json").stdout)
    assert (told["mode"], told["assets"]) == ("simulation", ["steady", "slow", "flaky", "liar"])


def test_what_is_wrong_with_a_file(finstream: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("assets:\n  binance: {comand: [a]}\n")
    told = finstream("config", "check", str(file))
    assert (told.returncode, told.stdout) == (78, "")
    assert "assets.binance" in told.stderr
    assert "command" in told.stderr, "the remedy"
    told = finstream("config", "check", str(file), "--json")
    assert told.returncode == 78
    answer = json.loads(told.stdout)
    assert answer["ok"] is False
    assert answer["where"].startswith("assets.binance")


def test_an_admin_side_that_run_would_refuse_is_warned_of(finstream: Run, tmp_path: Path) -> None:
    file = tmp_path / "open.yaml"
    file.write_text('listen: {admin: "0.0.0.0:8090"}\nadmin: {token_env: ADMIN_SECRET}\nassets: {a: {command: [a]}}\n')
    told = finstream("config", "check", str(file))
    assert told.returncode == 0
    assert "warning: " in told.stderr
    assert "listen.admin" in told.stderr
    assert "ADMIN_SECRET" in told.stderr
    (warning,) = json.loads(finstream("config", "check", str(file), "--json").stdout)["warnings"]
    assert "ADMIN_SECRET" in warning
    told = finstream("config", "check", str(file), env=os.environ | {"ADMIN_SECRET": "x" * 32})
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize(
    ("cert", "key", "field", "said"),
    [
        ("server.pem", "missing.key", "tls.key_file", "missing.key cannot be read: No such file"),
        ("missing.pem", "server.key", "tls.cert_file", "missing.pem cannot be read: No such file"),
        (".", "server.key", "tls.cert_file", "cannot be read: Is a directory"),
        ("server.key", "server.key", "tls.cert_file", "server.key cannot be used"),
        ("server.pem", "server.pem", "tls.key_file", "server.pem cannot be used"),
        ("server.pem", "other.key", "tls.key_file", "key values mismatch"),
    ],
)
def test_a_certificate_that_cannot_be_used(
    finstream: Run, tmp_path: Path, make_certificate: Callable[..., Any], cert: str, key: str, field: str, said: str
) -> None:
    make_certificate(tmp_path)
    make_certificate(tmp_path, "other")
    file = tmp_path / "tls.yaml"
    file.write_text(f"tls: {{cert_file: {tmp_path / cert}, key_file: {tmp_path / key}}}\nassets: {{a: {{command: [a]}}}}\n")
    told = finstream("config", "check", str(file))
    assert (told.returncode, told.stdout) == (78, "")
    assert field in told.stderr
    assert said in told.stderr
    assert "name a PEM file" in told.stderr, "the remedy"
    answer = json.loads(finstream("config", "check", str(file), "--json").stdout)
    assert (answer["ok"], answer["where"]) == (False, field)
    assert "PEM" in answer["remedy"]
    assert finstream("config", "check", str(file), "--elsewhere").returncode == 0


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (("20010101000000Z", "20020101120000Z"), "server.pem expired on 2002-01-01 12:00 UTC"),
        (("20991231235900Z", "21000101000000Z"), "server.pem is not valid before 2099-12-31 23:59 UTC"),
    ],
)
def test_a_certificate_out_of_its_time_is_warned_of(
    finstream: Run, tmp_path: Path, make_certificate: Callable[..., Any], dates: tuple[str, str], said: str
) -> None:
    files = make_certificate(tmp_path, dates=dates)
    file = tmp_path / "tls.yaml"
    file.write_text(f"tls: {{cert_file: {files.cert}, key_file: {files.key}}}\nassets: {{a: {{command: [a]}}}}\n")
    told = finstream("config", "check", str(file))
    assert (told.returncode, "good (" in told.stdout) == (0, True)
    assert f"warning: tls.cert_file: {tmp_path}/{said}" in told.stderr
    (warning,) = json.loads(finstream("config", "check", str(file), "--json").stdout)["warnings"]
    assert said in warning


def test_a_good_certificate(finstream: Run, tmp_path: Path, make_certificate: Callable[..., Any]) -> None:
    files = make_certificate(tmp_path)
    file = tmp_path / "tls.yaml"
    file.write_text(f"tls: {{cert_file: {files.cert}, key_file: {files.key}}}\nassets: {{a: {{command: [a]}}}}\n")
    told = finstream("config", "check", str(file))
    assert (told.returncode, told.stderr) == (0, "")


def test_a_file_that_is_not_there(finstream: Run, tmp_path: Path) -> None:
    told = finstream("config", "check", str(tmp_path / "none.yaml"))
    assert told.returncode == 78
    assert "no such file" in told.stderr


def test_the_plan_of_a_change(finstream: Run, files: tuple[str, str]) -> None:
    old, new = files
    told = finstream("config", "plan", new, "--against", old)
    assert (told.returncode, told.stderr) == (0, "")
    lines = [line.split() for line in told.stdout.splitlines()]
    assert ["+", "start", "new"] in lines
    assert ["-", "stop", "gone"] in lines
    assert ["~", "restart", "other"] in lines
    assert ["leave", "as", "it", "is", "kept"] in lines
    assert "state.path" in told.stdout
    assert "reboot" in told.stdout


def test_the_plan_for_programs(finstream: Run, files: tuple[str, str]) -> None:
    old, new = files
    plan = json.loads(finstream("config", "plan", new, "--against", old, "--json").stdout)
    assert plan == {
        "started": ["new"], "stopped": ["gone"], "restarted": ["other"], "unchanged": ["kept"], "hot": ["logs.level"],
        "needs_engine_restart": ["state.path"],
    }  # fmt: skip


def test_no_change(finstream: Run, files: tuple[str, str]) -> None:
    assert "nothing would change" in finstream("config", "plan", files[0], "--against", files[0]).stdout


def test_without_against_it_is_the_default(finstream: Run, files: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(OLD)
    plan = json.loads(finstream("config", "plan", files[1], "--json", cwd=tmp_path).stdout)
    assert plan["started"] == ["new"]


def test_the_file_that_is_wrong_is_named(finstream: Run, files: tuple[str, str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("mode: fun\n")
    told = finstream("config", "plan", files[1], "--against", str(bad))
    assert told.returncode == 78
    assert f"{bad}: mode" in told.stderr


def test_the_file_that_is_wrong_is_named_once(finstream: Run, files: tuple[str, str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("assets: [\n")
    for wrong in (bad, tmp_path / "none.yaml"):
        told = finstream("config", "plan", str(wrong), "--against", files[0])
        assert told.returncode == 78
        assert told.stderr.count(str(wrong)) == 1, told.stderr
