"""Judges what a trial saw. Pure: an observation in, findings out, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from finstream.cli.check_observation import Ending, Observation
from finstream.cli.output import count, duration, microseconds

__all__ = ["Finding", "exit_meaning", "judge"]

Level = Literal["mend", "look", "good"]


class Finding(msgspec.Struct, frozen=True):
    level: Level
    """``mend``: it will not do; ``look``: it may be meant; ``good``: checked, and right."""
    subject: str
    text: str
    remedy: str = ""
    example: str = ""
    """The first line that it is about."""


_SECOND_US = 1_000_000
_HALF_HOUR_US = 1800 * _SECOND_US
_ZONE_TOLERANCE_US = 120 * _SECOND_US
_SLOW_US = 5 * _SECOND_US
"""A live source whose ticks arrive later than this at the median is of little use: severity 2 in the arena."""


def judge(seen: Observation) -> list[Finding]:
    """Every finding about ``seen``; the ingestor is fit for use if none of them says ``mend``."""
    findings = [*_about_lines(seen), *_about_stamps(seen), *_about_buffering(seen), *_about_ending(seen)]
    order: dict[Level, int] = {"mend": 0, "look": 1, "good": 2}
    return sorted(findings, key=lambda finding: order[finding.level])


def exit_meaning(code: int, *, asked: bool) -> str:
    """What the engine makes of an exit code."""
    if asked and code in (0, -15, 143):
        return "stopped as asked"
    match code:
        case 0:
            return "done: not started again until somebody newly wants it"
        case 78:
            return "wrong configuration: not started again until its configuration changes"
    return "failed: started again after a pause that grows"


def _about_lines(seen: Observation) -> Iterator[Finding]:
    lines = seen.lines
    for rejection in seen.rejections:
        # A signal may hit any program in the middle of its last line; one that leaves by itself has no excuse.
        cut_by_us = rejection.reason == "unterminated_line" and not seen.ending.by_itself
        yield Finding(
            "look" if cut_by_us else "mend", "lines",
            f"{count(rejection.count, 'line')} rejected as {rejection.reason}: {rejection.meaning}",
            rejection.remedy, example=rejection.line,
        )  # fmt: skip
    if lines.lines == 0:
        yield Finding(
            "mend", "lines", f"not one line in {duration(seen.ran_s)}",
            "is stdout buffered (flush after each line)? does it need longer (--seconds)? stderr may say more",
        )  # fmt: skip
    elif not lines.rejected:
        yield Finding("good", "lines", f"all {count(lines.lines, 'line')} accepted")
    if lines.trades_without_identity:
        yield Finding(
            "look", "lines", f"{lines.trades_without_identity:,} of {count(lines.trades, 'trade')} without trade_id",
            "pass the venue's own trade id on, so that duplicates can be told",
        )  # fmt: skip


def _about_stamps(seen: Observation) -> Iterator[Finding]:
    lags = seen.lags
    if lags is None or seen.replay:
        return
    if offset := _zone_offset(lags.median_us):
        yield Finding(
            "mend", "stamps", f"stamps are off by {offset} at the median: they look like local time sent as UTC",
            "send epoch time, or ISO 8601 with its offset",
        )  # fmt: skip
        return
    if lags.too_far_ahead:
        yield Finding(
            "mend", "stamps", f"{count(lags.too_far_ahead, 'stamp')} too far in the future to be accepted, "
            f"by up to {microseconds(-lags.min_us)}", "check the clock, and the unit of the stamps",
        )  # fmt: skip
    elif lags.in_future:
        yield Finding(
            "look", "stamps", f"{lags.in_future:,} of {count(lags.ticks, 'stamp')} in the future, "
            f"by up to {microseconds(-lags.min_us)}: the source's clock is ahead of ours", "is NTP running here?",
        )  # fmt: skip
    if lags.too_old:
        yield Finding(
            "mend", "stamps",
            f"{count(lags.too_old, 'stamp')} too old to be accepted, up to {microseconds(lags.max_us)}",
            "send the time of the event; for recorded data configure origin: replay (here: --replay)",
        )  # fmt: skip
    elif lags.median_us > _SLOW_US:
        yield Finding(
            "look", "stamps", f"ticks are {microseconds(lags.median_us)} late at the median",
            "is it the venue, a queue in the program, or a clock (is NTP running)?",
        )  # fmt: skip
    elif not lags.in_future:
        yield Finding("good", "stamps", f"{microseconds(lags.median_us)} behind our clock at the median")


def _zone_offset(median_us: int) -> str | None:
    """``5 h ahead`` if the lag is a whole number of half hours, as an offset between time zones is; else None."""
    halves = round(median_us / _HALF_HOUR_US)
    if halves == 0 or abs(halves) > 28 or abs(median_us - halves * _HALF_HOUR_US) > _ZONE_TOLERANCE_US:
        return None
    return f"{abs(halves) / 2:g} h ({'behind' if halves > 0 else 'ahead'})"


def _about_buffering(seen: Observation) -> Iterator[Finding]:
    arrivals = seen.arrivals
    remedy = "flush stdout after each line; for a program that you cannot change try unbuffer: stdbuf or unbuffer: pty"
    if arrivals.block_bytes is not None:
        yield Finding(
            "mend", "buffering", f"lines come in blocks of {arrivals.block_bytes:,} bytes, cut in mid-line", remedy
        )
    elif arrivals.lines_after_stop and arrivals.lines_after_stop == seen.lines.lines:
        yield Finding("mend", "buffering", "every line came only after it was asked to stop", remedy)
    elif arrivals.bursts >= 3:
        pause = duration(arrivals.median_pause_ms / 1000)
        text = f"lines come in bursts: {arrivals.median_burst_messages} at once, then nothing for {pause}"
        yield Finding("look", "buffering", text, remedy)
    elif arrivals.arrivals:
        yield Finding("good", "buffering", "no sign of a buffered stdout")


def _about_ending(seen: Observation) -> Iterator[Finding]:
    ending = seen.ending
    if ending.stayed_without_stdout_s and not ending.by_itself:
        yield Finding(
            "mend", "stdout", f"it closed its standard output and stayed for {duration(ending.stayed_without_stdout_s)}",
            "keep stdout open for as long as it runs, and exit when there is no more to say",
        )  # fmt: skip
    if ending.by_itself:
        yield _own_end(ending, replay=seen.replay)
    elif ending.killed:
        yield Finding(
            "mend", "SIGTERM", f"still there {duration(ending.after_s)} after SIGTERM, and killed",
            "on SIGTERM close the venue's sockets and leave",
        )  # fmt: skip
    elif ending.exit_code in (0, -15, 143):
        yield Finding("good", "SIGTERM", f"left {duration(ending.after_s)} after SIGTERM")
    else:
        yield Finding(
            "look", "SIGTERM", f"left {duration(ending.after_s)} after SIGTERM, with exit code {ending.exit_code}",
            "exit with 0 when you were asked to stop",
        )  # fmt: skip
    if ending.left_behind:
        yield Finding(
            "look", "SIGTERM", f"{ending.left_behind} of the processes that it had started outlived it",
            "end them and wait for them before you leave (in a shell script: exec, or trap)",
        )  # fmt: skip


def _own_end(ending: Ending, *, replay: bool) -> Finding:
    text = f"ended by itself after {duration(ending.after_s)}: {_how(ending.exit_code)}"
    match ending.exit_code:
        case 0 if replay:
            return Finding("good", "exit", text)
        case 0:
            return Finding("look", "exit", text, "a live source is expected to go on (recorded data: --replay)")
        case 78:
            return Finding("mend", "exit", text, "its configuration or arguments are wrong; stderr should say which")
    return Finding("mend", "exit", text, "stderr should say why")


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
