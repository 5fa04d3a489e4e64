"""``python -m finstream_ingestors.sim``: the loop that prints."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import Final, NoReturn

from ..kit.exits import CRASHED, DONE, MISCONFIGURED, MisconfiguredError, complain, refuse_in_production
from ..kit.lines import LineWriter, OutputClosedError
from ..kit.stopping import Stopped, StopSignals
from .control import Command, Control
from .garbage import Garbage
from .market import Market, Stamping
from .options import parser
from .schedule import Faults, Schedule

_MS_NS: Final = 1_000_000


class Simulation:
    """The market, its faults and its output."""

    def __init__(self, options: argparse.Namespace, writer: LineWriter) -> None:
        self._writer = writer
        self._left: float = math.inf if options.count is None else options.count
        self._garbage = Garbage(options.seed)
        self._garbage_fraction: float = options.garbage
        first_trade_id = time.time_ns() // 1000 if options.first_trade_id is None else options.first_trade_id
        self._market = Market(
            options.symbols,
            exchange=options.exchange,
            seed=options.seed,
            trade_share=options.trade_share,
            first_trade_id=first_trade_id,
            shared_trades=options.shared_trades,
            stamping=Stamping(
                lag_ns=round(options.lag_ms * _MS_NS),
                jitter_ns=round(options.lag_jitter_ms * _MS_NS),
                clock_offset_ns=round(options.clock_offset_ms * _MS_NS),
            ),
        )
        faults = Faults(
            stall_every_s=options.stall_every,
            stall_for_s=options.stall_for,
            crash_after_s=options.crash_after,
            burst_every_s=options.burst_every,
            burst_size=options.burst_size,
        )
        self._schedule = Schedule(options.rate, faults, time.monotonic())

    def run(self, control: Control) -> None:
        """Print until all ticks are told. Raises OutputClosedError, Stopped, or SystemExit for a crash."""
        while self._left > 0:
            step = self._schedule.step(time.monotonic())
            if step.crash:
                _crash(CRASHED)
            self._print(step.ticks)
            for command in control.wait(step.wait_s):
                self._obey(command)

    def _print(self, ticks: int) -> None:
        for _ in range(int(min(ticks, self._left))):
            now_ns = time.time_ns()
            if self._garbage.is_due(self._garbage_fraction):
                self._writer.write(self._garbage.line(now_ns))
            else:
                self._writer.write(self._market.line(now_ns))
                self._left -= 1
        self._writer.flush()

    def _obey(self, command: Command) -> None:
        value = command.value
        match command.verb:
            case "stall":
                self._schedule.stall(value, time.monotonic())
            case "burst":
                self._schedule.burst(int(value))
            case "garbage":
                for _ in range(int(value)):
                    self._writer.write(self._garbage.line(time.time_ns()))
                self._writer.flush()
            case "crash":
                _crash(int(value))
            case "rate":
                self._schedule.set_rate(value, time.monotonic())
            case "lag":
                self._market.set_lag(round(value * _MS_NS))


def _crash(code: int) -> NoReturn:
    complain("sim: crashing, as asked for")
    raise SystemExit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    writer = LineWriter()
    stop = StopSignals(writer)
    stop.install()
    try:
        refuse_in_production("a simulation")
        control = Control(options.control)
        try:
            Simulation(options, writer).run(control)
        finally:
            control.close()
    except MisconfiguredError as error:
        complain(f"sim: error: {error}")
        return MISCONFIGURED
    except (Stopped, OutputClosedError):
        pass
    return DONE


if __name__ == "__main__":
    sys.exit(main())
