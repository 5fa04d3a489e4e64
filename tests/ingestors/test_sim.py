"""The simulation: its prices, its pace, and its faults."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finstream_ingestors.kit.exits import MisconfiguredError
from finstream_ingestors.sim.control import Command, Control, parse_command
from finstream_ingestors.sim.market import Market, Stamping, decimal_text
from finstream_ingestors.sim.schedule import Faults, Schedule

NOW_NS = 1_700_000_000_000_000_000
DECIMAL = re.compile(rb'"(?:price|volume|bid_price|bid_volume|ask_price|ask_volume)":"(\d+\.\d+)"')


def market(*, seed: int | None = 1, trade_share: float = 0.5, **stamping: int) -> Market:
    return Market(
        ["BTC/USDT", "NEW/USD"], exchange="sim", seed=seed, trade_share=trade_share, first_trade_id=100,
        stamping=Stamping(**stamping),
    )


@pytest.mark.parametrize(
    ("mantissa", "scale", "text"), [(0, 2, "0.00"), (7, 2, "0.07"), (6700001, 2, "67000.01"), (100000, 5, "1.00000")]
)
def test_decimals_never_were_floats(mantissa: int, scale: int, text: str) -> None:
    assert decimal_text(mantissa, scale) == text


def test_ticks_are_trades_with_their_quote_or_quotes_alone() -> None:
    source = market()
    ticks = [json.loads(source.line(NOW_NS)) for _ in range(2000)]
    trades = [tick for tick in ticks if "price" in tick]
    assert {frozenset(tick) for tick in ticks} == {
        frozenset({"symbol", "exchange", "bid_price", "bid_volume", "ask_price", "ask_volume", "ts"}),
        frozenset(
            {
                "symbol", "exchange", "price", "volume", "side", "trade_id",
                "bid_price", "bid_volume", "ask_price", "ask_volume", "ts",
            }
        ),
    }
    assert {tick["symbol"] for tick in ticks} == {"BTC/USDT", "NEW/USD"}
    assert 800 < len(trades) < 1200
    assert [tick["trade_id"] for tick in trades] == list(range(100, 100 + len(trades)))
    for tick in trades:
        assert tick["price"] == (tick["ask_price"] if tick["side"] == "buy" else tick["bid_price"])


def test_sims_that_share_trades_tell_the_same_ones() -> None:
    """Each in its own time: a late one tells those of a while ago."""

    def trades(seed: int, lag_ns: int = 0) -> dict[int, tuple[str, str, str]]:
        source = Market(
            ["BTC/USDT"], exchange="sim", seed=seed, trade_share=0.5, first_trade_id=100, stamping=Stamping(lag_ns=lag_ns),
            shared_trades=True,
        )  # fmt: skip
        ticks = [json.loads(source.line(NOW_NS + n * 10_000_000)) for n in range(1000)]
        told = [tick for tick in ticks if "price" in tick]
        found = {tick["trade_id"]: (tick["price"], tick["volume"], tick["side"]) for tick in told}
        assert list(found) == sorted(found)
        assert len(found) == len(told), "each of them once"
        return found

    one, other, late = trades(1), trades(2), trades(3, lag_ns=5_000_000_000)
    assert len(one) > 80, "of the hundred in ten seconds"
    assert len({price for price, _, _ in one.values()}) > 20
    for others, least in ((other, 70), (late, 30)):
        both = one.keys() & others.keys()
        assert len(both) > least
        assert {each: one[each] for each in both} == {each: others[each] for each in both}
    assert max(late) == max(one) - 50


def test_the_same_seed_gives_the_same_prices() -> None:
    one, other, third = market(seed=1), market(seed=1), market(seed=2)
    lines = [one.line(NOW_NS) for _ in range(100)]
    assert lines == [other.line(NOW_NS) for _ in range(100)]
    assert lines != [third.line(NOW_NS) for _ in range(100)]


def test_a_long_walk_stays_near_its_base_and_above_zero() -> None:
    source = market(trade_share=0.0)
    bids = [json.loads(source.line(NOW_NS)) for _ in range(50_000)]
    prices = [float(tick["bid_price"]) for tick in bids if tick["symbol"] == "BTC/USDT"]
    assert 66_990 < min(prices) < max(prices) < 67_010
    assert len(set(prices)) > 50


def test_stamps_have_the_lag_and_never_run_backwards() -> None:
    source = market(lag_ns=1_000_000_000, jitter_ns=500_000_000)
    stamps = [json.loads(source.line(NOW_NS + number * 1000))["ts"] for number in range(500)]
    assert stamps == sorted(stamps)
    lags = [NOW_NS + number * 1000 - ts for number, ts in enumerate(stamps)]
    assert 1_000_000_000 <= min(lags) < max(lags) <= 1_500_000_000
    ahead = market(clock_offset_ns=5_000_000_000)
    assert json.loads(ahead.line(NOW_NS))["ts"] == NOW_NS + 5_000_000_000


def total_ticks(schedule: Schedule, seconds: float, step_s: float = 0.0) -> list[tuple[float, int]]:
    """What it says over so many seconds when the clock obeys its waits (and is ``step_s`` late each time)."""
    now, said = 0.0, []
    while now < seconds:
        step = schedule.step(now)
        if step.crash:
            said.append((now, -1))
            break
        if step.ticks:
            said.append((now, step.ticks))
        now += max(step.wait_s, 1e-9) + step_s
    return said


@pytest.mark.parametrize("rate", [0.5, 3.0, 100.0, 20_000.0])
@pytest.mark.parametrize("late_s", [0.0, 0.0007])
def test_the_rate_is_kept(rate: float, late_s: float) -> None:
    said = total_ticks(Schedule(rate, Faults(), 0.0), 10.0, late_s)
    assert sum(ticks for _, ticks in said) == pytest.approx(rate * 10, rel=0.02, abs=1.1)


def test_at_a_low_rate_each_tick_comes_alone() -> None:
    assert {ticks for _, ticks in total_ticks(Schedule(200.0, Faults(), 0.0), 5.0)} == {1}


def test_a_long_pause_is_not_made_up_for() -> None:
    schedule = Schedule(100.0, Faults(), 0.0)
    schedule.step(0.0)
    assert schedule.step(60.0).ticks == 1


def test_stalls_are_silent_and_followed_by_the_usual_rate() -> None:
    said = total_ticks(Schedule(10.0, Faults(stall_every_s=3.0, stall_for_s=2.0), 0.0), 9.9)
    times = [when for when, _ in said]
    assert not [when for when in times if 3.0 <= when < 5.0 or 8.0 <= when < 9.9]
    assert {ticks for _, ticks in said} == {1}
    assert sum(5.0 <= when < 8.0 for when in times) == pytest.approx(30, abs=1)


def test_bursts_come_on_time() -> None:
    said = total_ticks(Schedule(0.0, Faults(burst_every_s=2.0, burst_size=500), 0.0), 7.0)
    assert [(round(when, 3), ticks) for when, ticks in said] == [(2.0, 500), (4.0, 500), (6.0, 500)]


def test_the_crash_comes_on_time() -> None:
    assert total_ticks(Schedule(1.0, Faults(crash_after_s=2.5), 0.0), 9.0)[-1] == (2.5, -1)


def test_faults_on_demand() -> None:
    schedule = Schedule(10.0, Faults(), 0.0)
    schedule.stall(5.0, 0.0)
    assert schedule.step(0.0) == schedule.step(4.0).__class__(0, 5.0)
    schedule.burst(7)
    assert schedule.step(4.9).ticks == 0
    assert schedule.step(5.0).ticks == 8
    schedule.set_rate(0.0, 5.0)
    assert schedule.step(100.0).ticks == 0


@pytest.mark.parametrize(
    ("line", "command"),
    [("stall 2.5", Command("stall", 2.5)), ("  crash ", Command("crash", 1.0)), ("crash 3", Command("crash", 3.0))],
)
def test_commands(line: str, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize("line", ["explode", "stall", "stall 1 2", "stall soon", "burst -1", "lag inf", "rate nan"])
def test_wrong_commands_say_what_is_wrong(line: str) -> None:
    with pytest.raises(ValueError, match=r"command|number|float"):
        parse_command(line)


def test_the_control_pipe_is_made_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "control"
    control = Control(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    for text in (b"stall 1\nbur", b"st 2\n\ncrash 300\n"):  # two writers, and a command in two parts
        with path.open("wb") as pipe:
            pipe.write(text)
    assert control.wait(5.0) == [Command("stall", 1.0), Command("burst", 2.0), Command("crash", 300.0)]
    assert control.wait(0.0) == []
    control.close()
    assert not path.exists()


def test_a_control_pipe_of_others_is_used_and_left(tmp_path: Path) -> None:
    path = tmp_path / "control"
    os.mkfifo(path)
    Control(path).close()
    assert path.exists()


def test_a_control_path_that_is_no_pipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(MisconfiguredError, match="not a named pipe"):
        Control(path)
    with pytest.raises(MisconfiguredError, match="No such file"):
        Control(tmp_path / "missing" / "control")


def test_twenty_thousand_ticks_a_second(run: Callable[..., Any]) -> None:
    started = time.monotonic()
    result = run("sim", "--rate", "20000", "--count", "20000")
    elapsed_s = time.monotonic() - started
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 20_000
    assert 0.9 < elapsed_s < 8.0  # the lower bound is what is tested; the upper one only says that it got there


def test_a_run_told_by_options(run: Callable[..., Any]) -> None:
    arguments = [
        "--symbols", "A/B", "--count", "50", "--rate", "1000", "--seed", "4", "--trade-share", "1",
        "--first-trade-id", "7", "--clock-offset-ms", "-60000",
    ]
    before_ns = time.time_ns()
    result = run("sim", *arguments, FINSTREAM_ASSET="north")
    ticks = [json.loads(line) for line in result.stdout.splitlines()]
    assert [tick["trade_id"] for tick in ticks] == list(range(7, 57))
    assert {(tick["symbol"], tick["exchange"]) for tick in ticks} == {("A/B", "north")}
    assert before_ns - 60 * 10**9 < ticks[0]["ts"] < time.time_ns() - 60 * 10**9
    again = run("sim", *arguments)
    prices = [[json.loads(line)["price"] for line in output.splitlines()] for output in (result.stdout, again.stdout)]
    assert prices[0] == prices[1]


def test_trade_ids_rise_over_restarts(run: Callable[..., Any]) -> None:
    first, second = (run("sim", "--trade-share", "1", "--count", "3", "--rate", "1000") for _ in range(2))
    last_of_first = json.loads(first.stdout.splitlines()[-1])["trade_id"]
    assert json.loads(second.stdout.splitlines()[0])["trade_id"] > last_of_first


def test_a_part_of_the_lines_is_garbage(run: Callable[..., Any]) -> None:
    result = run("sim", "--count", "300", "--rate", "20000", "--garbage", "0.5", "--seed", "9")
    lines = result.stdout.splitlines()
    assert len(lines) > 500
    assert sum('"exchange":"sim"' in line for line in lines) == 300


def test_crashes_by_the_clock(run: Callable[..., Any]) -> None:
    result = run("sim", "--crash-after", "0.2")
    assert result.returncode == 1
    assert result.stderr == "sim: crashing, as asked for\n"


def test_faults_while_it_runs(tmp_path: Path, start: Callable[..., Any], until: Callable[..., None]) -> None:
    path = tmp_path / "control"
    program = start("sim", "--rate", "0", "--trade-share", "1", "--first-trade-id", "1", "--control", str(path))
    until(path.exists)

    def say(text: str) -> None:
        with path.open("w") as pipe:
            pipe.write(f"{text}\n")

    say("burst 3")
    assert [program.next_tick()["trade_id"] for _ in range(3)] == [1, 2, 3]
    say("lag 10000\nrate 100")
    assert time.time_ns() - program.next_tick()["ts"] > 9 * 10**9
    say("crash 42")
    assert program.wait() == 42
    assert not path.exists()


def test_a_stall_on_demand_is_silent_but_leaves_at_once(tmp_path: Path, start: Callable[..., Any]) -> None:
    path = tmp_path / "control"
    program = start("sim", "--rate", "100", "--control", str(path))
    program.next_tick()
    path.write_text("stall 3600\nnonsense\n")
    program.fall_silent(0.5)
    assert program.terminate() == 0
    assert "unknown command 'nonsense'" in program.stderr


def test_production_refuses_simulations(run: Callable[..., Any]) -> None:
    result = run("sim", FINSTREAM_MODE="production")
    assert (result.returncode, result.stdout) == (78, "")
    assert "mode: simulation" in result.stderr
    assert run("sim", "--count", "1", FINSTREAM_MODE="simulation").returncode == 0
