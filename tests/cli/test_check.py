"""``finstream check`` on ingestors with all kinds of faults: real programs, run and stopped for real."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finstream.cli.check_remedies import REMEDIES
from finstream.vocabulary.reasons import REJECTIONS

Check = Callable[..., tuple[int, dict[str, Any]]]

TICK = """\
import json, time
def tick(**more):
    return json.dumps({"symbol": "BTC/USDT", "price": "1.5", "volume": "1", "trade_id": 7, "ts": time.time_ns()} | more)
"""


@pytest.fixture
def check(finstream: Callable[..., subprocess.CompletedProcess[str]]) -> Check:
    """Check a program given as the text of a Python script, or as a command; returns exit code and report."""

    def run(program: str | list[str], *options: str, seconds: float = 1) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-c", TICK + textwrap.dedent(program)] if isinstance(program, str) else program
        told = finstream("check", "--json", "--seconds", str(seconds), *options, "--", *command)
        assert told.stderr == ""
        report = json.loads(told.stdout)
        assert report["ok"] is (told.returncode == 0)
        return told.returncode, report

    return run


def _lives(pid: int) -> bool:
    """A zombie does not: it waits for whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def _mend(report: dict[str, Any]) -> list[str]:
    return [finding["text"] for finding in report["findings"] if finding["level"] == "mend"]


def test_every_reason_has_a_remedy() -> None:
    assert list(REMEDIES) == list(REJECTIONS)


def test_a_good_ingestor_passes(check: Check) -> None:
    code, report = check(["python", "-m", "finstream_ingestors.sim", "--rate", "100", "--seed", "1"], seconds=2)
    assert (code, _mend(report)) == (0, [])
    lines = report["lines"]
    assert 100 < lines["lines"] < 260
    assert lines["ticks"] == lines["trades"] + lines["quotes"] == lines["lines"] == lines["looked_at"]
    assert set(lines["symbols"]) == {"BTC/USDT", "ETH/USDT"}
    assert sum(lines["symbols"].values()) == lines["ticks"]
    assert report["lags"]["ticks"] == lines["ticks"]
    assert 0 <= report["lags"]["min_us"] <= report["lags"]["median_us"] <= report["lags"]["p99_us"]
    assert report["ending"]["exit_code"] == 0
    assert report["ending"]["by_itself"] is False


def test_kinds_of_lines(check: Check) -> None:
    program = """
        print(tick(), flush=True)
        print(tick(price=None, bid=1, ask=2), flush=True)
        print('{"type":"heartbeat"}', flush=True)
        print('{"type":"status","state":"connected"}', flush=True)
        print(json.dumps({"type": "news", "ts": time.time(), "headline": "x"}), flush=True)
    """
    code, report = check(program, seconds=20)
    assert (code, _mend(report)) == (0, [])
    lines = report["lines"]
    assert [lines[kind] for kind in ("trades", "quotes", "opaque", "heartbeats", "statuses")] == [1] * 5
    assert lines["types"] == {"news": 1}
    assert json.loads(lines["last_status"])["state"] == "connected"


def test_rejected_lines_come_with_the_first_one_and_a_remedy(check: Check) -> None:
    program = """
        for n in range(3):
            print(f"hello {n}", flush=True)
        print(tick(price="1,000"), flush=True)
        print(tick(), flush=True)
    """
    code, report = check(program, seconds=20)
    assert code == 1
    by_reason = {rejection["reason"]: rejection for rejection in report["rejections"]}
    assert {reason: each["count"] for reason, each in by_reason.items()} == {"not_json": 3, "invalid_decimal": 1}
    assert by_reason["not_json"]["line"] == "hello 0"
    assert '"price": "1,000"' in by_reason["invalid_decimal"]["line"]
    for rejection in by_reason.values():
        assert rejection["meaning"] == REJECTIONS[rejection["reason"]]
        assert rejection["remedy"] == REMEDIES[rejection["reason"]]


def test_the_human_report(finstream: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    script = r'printf "\000\n"; echo "{\"symbol\":\"X\",\"price\":1,\"ts\":$(date +%s)}"; echo oops >&2; exec sleep 60'
    told = finstream("check", "--seconds", "1", "--", "sh", "-c", script)
    assert told.returncode == 1
    assert "rejected as not_json" in told.stdout
    assert r"first: \x00" in told.stdout, "made readable"
    assert f"→ {REMEDIES['not_json']}" in told.stdout
    assert "oops" in told.stdout
    assert "\n1 thing to mend" in told.stdout
    good = finstream("check", "--seconds", "1", "--", "python", "-m", "finstream_ingestors.sim")
    assert good.returncode == 0
    assert good.stdout.endswith("fit for use\n")


@pytest.mark.parametrize(
    ("offset_s", "said"),
    [
        (5 * 3600, "local time sent as UTC"),
        (-5.5 * 3600, "local time sent as UTC"),
        (400, "too far in the future"),
        (2, "the source's clock is ahead of ours"),
        (-20, "late at the median"),
        (-30 * 86400, "too old to be accepted"),
    ],
)
def test_time_stamps_against_our_clock(check: Check, offset_s: float, said: str) -> None:
    program = f"""
        for n in range(10):
            print(tick(ts=time.time_ns() + {int(offset_s * 1e9)}), flush=True)
    """
    _, report = check(program, seconds=20)
    stamps = [finding for finding in report["findings"] if finding["subject"] == "stamps"]
    assert any(said in finding["text"] for finding in stamps), stamps
    assert all(finding["level"] != "good" for finding in stamps)
    lags = report["lags"]
    assert lags["median_us"] == pytest.approx(-offset_s * 1e6, abs=900_000)
    assert lags["in_future"] == (10 if offset_s > 0 else 0)


def test_a_replay_may_be_old_and_may_end(check: Check) -> None:
    program = "print(tick(ts=1600000000), flush=True)"
    code, report = check(program, "--replay")
    assert (code, _mend(report)) == (0, [])
    assert report["ending"]["by_itself"] is True
    code, report = check(program)
    assert code == 1
    assert any("--replay" in finding["remedy"] for finding in report["findings"])


def test_lines_in_blocks_are_a_buffered_stdout(check: Check) -> None:
    program = """
        import os, sys
        block = "".join(tick(note="x" * (n % 7)) + "\\n" for n in range(800))
        for start in range(0, len(block) - 4096, 4096):
            os.write(1, block[start : start + 4096].encode())
            time.sleep(0.05)
    """
    code, report = check(program, seconds=20)
    assert code == 1
    assert report["arrivals"]["block_bytes"] == 4096
    assert any("blocks of 4,096 bytes" in text for text in _mend(report))


def test_lines_that_come_only_at_the_end_are_a_buffered_stdout(check: Check) -> None:
    program = """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: (print(tick(), flush=True), sys.exit(0)))
        print("up", file=sys.stderr, flush=True)
        while True: time.sleep(1)
    """
    code, report = check(program, seconds=2)
    assert code == 1
    assert report["arrivals"]["lines_after_stop"] == 1
    assert any("only after it was asked to stop" in text for text in _mend(report))


def test_bursts_with_long_pauses_are_looked_at(check: Check) -> None:
    program = """
        while True:
            print("\\n".join(tick() for n in range(50)), flush=True)
            time.sleep(0.7)
    """
    code, report = check(program, seconds=4)
    assert (code, _mend(report)) == (0, [])
    assert any("bursts: 50 at once" in finding["text"] for finding in report["findings"] if finding["level"] == "look")
    assert report["arrivals"]["longest_gap_ms"] > 600


def test_silence_is_told(check: Check) -> None:
    code, report = check(["sleep", "60"])
    assert code == 1
    assert any("not one line" in text for text in _mend(report))
    assert report["lags"] is None


def test_one_that_does_not_leave_is_killed_and_told(check: Check) -> None:
    program = """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(tick(), flush=True)
        while True: time.sleep(1)
    """
    code, report = check(program, "--grace", "0.5", seconds=1.5)
    assert code == 1
    assert report["ending"]["killed"] is True
    assert report["ending"]["exit_code"] == -9
    assert any("after SIGTERM, and killed" in text for text in _mend(report))


@pytest.mark.parametrize(("exit_code", "said"), [(78, "arguments are wrong"), (3, "should say why")])
def test_one_that_fails_by_itself(check: Check, exit_code: int, said: str) -> None:
    program = f"""
        import sys
        print("the key is missing", file=sys.stderr)
        print(tick(), flush=True)
        sys.exit({exit_code})
    """
    code, report = check(program, seconds=20)
    assert code == 1
    assert report["ending"]["by_itself"] is True
    assert report["ending"]["exit_code"] == exit_code
    assert report["stderr"]["tail"] == ["the key is missing"]
    assert any(finding["level"] == "mend" and said in finding["remedy"] for finding in report["findings"])


def test_one_that_closes_stdout_and_stays_is_not_fit(check: Check) -> None:
    program = """
        import os
        print(tick(), flush=True)
        os.close(1)
        time.sleep(60)
    """
    code, report = check(program, "--grace", "0.4", seconds=20)
    assert code == 1
    assert report["ending"]["by_itself"] is False
    assert 0.4 <= report["ending"]["stayed_without_stdout_s"] < 10, "asked to leave after the grace, as by the engine"
    assert [text for text in _mend(report) if "closed its standard output and stayed" in text]


def test_one_that_closes_stdout_may_still_tidy_up(check: Check) -> None:
    program = """
        import os
        print(tick(), flush=True)
        os.close(1)
        time.sleep(0.3)
        os._exit(0)
    """
    code, report = check(program, "--replay", seconds=20)
    assert (code, _mend(report)) == (0, [])
    assert report["ending"]["by_itself"] is True
    assert report["ending"]["stayed_without_stdout_s"] > 0.1


def test_nothing_that_a_program_says_steers_the_terminal(finstream: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    program = r"""
        import sys
        print(tick(symbol="BTC/\u202eUSD"), flush=True)
        print(json.dumps({"type": "\x1b]0;pwn\x07x", "ts": time.time()}), flush=True)
        print("\x1b[2J[red]oops[/blue]", file=sys.stderr)
    """
    command = [sys.executable, "-c", TICK + textwrap.dedent(program)]
    told = finstream("check", "--replay", "--", *command)
    assert told.returncode == 0
    assert r"\x1b]0;pwn\x07x" in told.stdout
    assert r"BTC/\u202eUSD" in told.stdout
    assert r"\x1b[2J[red]oops[/blue]" in told.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(told.stdout)
    report = json.loads(finstream("check", "--replay", "--json", "--", *command).stdout)
    assert report["lines"]["types"] == {"\x1b]0;pwn\x07x": 1}, "programs get it as it came"
    assert report["lines"]["symbols"] == {"BTC/\u202eUSD": 1}


def test_processes_left_behind_are_told_and_ended(check: Check, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = f"""
        import pathlib, subprocess
        stray = subprocess.Popen(["sleep", "60"], start_new_session=True)
        pathlib.Path({str(pid_file)!r}).write_text(str(stray.pid))
        print(tick(), flush=True)
        time.sleep(60)
    """
    _, report = check(program)
    assert report["ending"]["left_behind"] == 1
    assert not _lives(int(pid_file.read_text()))


def test_only_the_tail_of_a_long_stderr_is_kept(check: Check) -> None:
    program = """
        import sys
        for n in range(5000): print("line", n, file=sys.stderr)
        print("x" * 100_000, file=sys.stderr)
        print(tick(), flush=True)
    """
    _, report = check(program, seconds=20)
    assert report["stderr"]["lines"] == 5001
    assert report["stderr"]["tail"][0] == "line 4991"
    assert set(report["stderr"]["tail"][-1]) == {"x"}
    assert len(report["stderr"]["tail"][-1]) <= 300


def test_one_that_is_faster_than_the_check_is_counted_all_the_same(check: Check) -> None:
    program = """
        import os
        block = (tick() + "\\n").encode() * 1000
        for n in range(1000): os.write(1, block)
    """
    code, report = check(program, "--replay", seconds=60)
    assert (code, _mend(report)) == (0, [])
    assert report["lines"]["lines"] == report["lines"]["ticks"] == 1_000_000
    assert 0 < report["lines"]["looked_at"] <= 1_000_000


def test_the_program_sees_what_the_engine_would_show_it(check: Check) -> None:
    program = """
        import os
        seen = {name: os.environ.get(name) for name in ("FINSTREAM_ASSET", "FINSTREAM_MODE", "PYTHONUNBUFFERED")}
        print(json.dumps({"type": "status", **seen}), flush=True)
    """
    _, report = check(program, "--mode", "production", seconds=20)
    seen = json.loads(report["lines"]["last_status"])
    assert (seen["FINSTREAM_MODE"], seen["PYTHONUNBUFFERED"]) == ("production", "1")
    assert seen["FINSTREAM_ASSET"]


def test_a_pty_unbuffers_a_program_that_buffers(check: Check) -> None:
    # Without our variable Python buffers as most programs do: blocks into a pipe, lines onto a terminal.
    script = f"{TICK}while True:\n    print(tick())\n    time.sleep(0.1)"
    buffered = ["env", "-u", "PYTHONUNBUFFERED", sys.executable, "-c", script]
    _, report = check(buffered)
    assert report["lines"]["lines"] == 0
    _, report = check(buffered, "--unbuffer", "pty", seconds=2)
    assert report["lines"]["ticks"] > 3
    assert report["arrivals"]["median_messages"] == 1


def test_ctrl_c_stops_the_program_too(
    finstream_process: Callable[..., subprocess.Popen[str]],
    interrupt: Callable[[subprocess.Popen[str]], tuple[int, str, str]],
    until: Callable[..., Any],
    tmp_path: Path,
) -> None:
    pid_file = tmp_path / "pid"
    process = finstream_process("check", "--seconds", "60", "--", "sh", "-c", f"echo $$ > {pid_file}; exec sleep 60")
    pid = int(until(lambda: pid_file.exists() and pid_file.read_text()))
    code, out, err = interrupt(process)
    assert (code, out, err) == (130, "", "")
    assert not _lives(pid)
