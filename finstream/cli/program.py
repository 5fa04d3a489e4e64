"""The ``finstream`` command itself: what there is, and how a run ends."""

from __future__ import annotations

import os
import sys

import click

import finstream
from finstream.cli import exits
from finstream.cli.commands import LazyGroup, examples

__all__ = ["program", "run_program"]

_COMMANDS = {
    "run": ("finstream.cli.run:run", "Run the engine in the foreground."),
    "demo": ("finstream.cli.demo:demo", "See it work: four simulated sources compete."),
    "subscribe": ("finstream.cli.subscribe:subscribe", "Print the ticks of topics as they come."),
    "assets": ("finstream.cli.assets:assets", "List the assets and the state of their ingestors."),
    "arena": ("finstream.cli.arena:arena", "Rank the sources by lag."),
    "market": ("finstream.cli.market:market", "Show the stock market's status, or simulate one."),
    "clients": ("finstream.cli.clients:clients", "Show or delete a registered client."),
    "pause": ("finstream.cli.asset_commands:pause", "Stop an asset's ingestor and keep it stopped."),
    "start": ("finstream.cli.asset_commands:start", "Start an asset that was paused or has given up."),
    "restart": ("finstream.cli.asset_commands:restart", "Stop and start an asset's ingestor."),
    "reload": ("finstream.cli.reload:reload", "Make the engine read its configuration again."),
    "logs": ("finstream.cli.logs:logs", "Change how much the engine logs."),
    "reboot": ("finstream.cli.reboot:reboot", "Restart the whole engine."),
    "config": ("finstream.cli.config:config", "Check a configuration, or plan a change of it."),
    "deadletter": ("finstream.cli.deadletter:deadletter", "Look at the lines that the engine has rejected."),
    "check": ("finstream.cli.check:check", "Try out an ingestor and report what to mend."),
    "bench": ("finstream.cli.bench:bench", "Measure the engine and its peers (in the source tree)."),
}


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "finstream demo",
        "finstream run --config config/config.yaml",
        "finstream subscribe binance coinbase:BTC/USD",
        "finstream check -- ./my-ingestor --symbols BTC/USDT",
    ),
)
@click.version_option(finstream.__version__, prog_name="finstream")
def program() -> None:
    """FinStream: market data from ingestor processes to WebSocket subscribers, live and exact.

    \b
    Exit codes: 0 fine, 1 refused or something to mend, 2 wrong usage,
    69 no engine answers, 78 wrong configuration.
    """


def run_program(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        code = program.main(arguments, prog_name="finstream", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        error.show()
        return exits.REFUSED
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, say) has what it wanted. The interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    return code if isinstance(code, int) else exits.OK
