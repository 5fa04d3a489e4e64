"""The ingestor of the conformance suite: trades at a steady rate, whose price is the number of the tick.

    python ticker.py --symbols 2 --rate 100

The symbols are S0, S1, … in turns, each filled up with `_` to --pad characters. --filler makes each line longer by so many bytes.
"""

from __future__ import annotations

import argparse
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, help="ticks a second over all symbols")
    parser.add_argument("--pad", type=int, default=0)
    parser.add_argument("--filler", type=int, default=0)
    options = parser.parse_args()
    symbols = [f"S{number}".ljust(options.pad, "_") for number in range(options.symbols)]
    filler = f',"filler":"{"x" * options.filler}"' if options.filler else ""
    began, number = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * options.rate)
        while number < due:
            symbol = symbols[number % len(symbols)]
            number += 1
            print(f'{{"symbol":"{symbol}","price":"{number}","volume":"0.5","trade_id":{number},"ts":{time.time_ns()}{filler}}}')
        sys.stdout.flush()
        time.sleep(0.005)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stderr.close()
