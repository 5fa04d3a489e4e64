"""``finstream check -- COMMAND``"""

from __future__ import annotations

from typing import Literal

import click
import msgspec
import trio

from finstream.cli import exits
from finstream.cli.check_report import print_report
from finstream.cli.check_trial import try_out
from finstream.cli.check_verdict import judge
from finstream.cli.commands import Command, examples
from finstream.cli.output import json_option, print_json, terminal
from finstream.cli.signals import until_asked_to_stop
from finstream.vocabulary.errors import ConfigError

__all__ = ["check"]


@click.command(
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "finstream check -- ./my-ingestor --symbols BTC/USDT",
        "finstream check --seconds 30 -- python -m finstream_ingestors.binance --symbols BTC/USDT",
        "finstream check --replay -- python -m finstream_ingestors.binance --replay recorded.jsonl --speed max",
        "finstream check --json -- ./my-ingestor | jq '.findings[] | select(.level == \"mend\")'",
    ),
)
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True)
@click.option(
    "--seconds", metavar="N", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="How long it runs."
)
@click.option(
    "--grace", "grace_s", metavar="SECONDS", type=click.FloatRange(min=0), default=5.0, show_default=True,
    help="From SIGTERM to SIGKILL (stop_grace_s).",
)  # fmt: skip
@click.option("--replay", is_flag=True, help="It sends recorded data: old time stamps and an end of its own are right.")
@click.option(
    "--unbuffer", type=click.Choice(["none", "stdbuf", "pty"]), default="none", show_default=True,
    help="How the engine is to help against a buffered stdout.",
)  # fmt: skip
@click.option(
    "--mode", type=click.Choice(["production", "simulation"]), default="simulation", show_default=True,
    help="What FINSTREAM_MODE tells it.",
)  # fmt: skip
@json_option
def check(
    command: tuple[str, ...],
    seconds: float,
    grace_s: float,
    replay: bool,
    unbuffer: Literal["none", "stdbuf", "pty"],
    mode: Literal["production", "simulation"],
    as_json: bool,
) -> int:
    """Try out an ingestor: run COMMAND as the engine would, and report what to mend.

    Its lines go through the engine's own parser. The report tells counts and kinds, each reason for rejecting a line
    with the first line so rejected, time stamps against our clock, buffering, standard error, and how it leaves when it
    is asked to.

    No engine needs to run. The exit code is 0 when all is well, 1 when something must be mended.
    """

    async def try_and_tell() -> int:
        try:
            seen = await try_out(command, seconds=seconds, grace_s=grace_s, unbuffer=unbuffer, replay=replay, mode=mode)
        except ConfigError as error:
            raise click.BadParameter(error.problem, param_hint="COMMAND") from None
        findings = judge(seen)
        fit = not any(finding.level == "mend" for finding in findings)
        if as_json:
            document = {"ok": fit, "findings": findings, **msgspec.structs.asdict(seen)}
            print_json(msgspec.json.encode(document))
        else:
            print_report(terminal(), seen, findings)
        return exits.OK if fit else exits.REFUSED

    async def interruptible() -> int:
        return await until_asked_to_stop(try_and_tell, interrupted=exits.INTERRUPTED)

    return trio.run(interruptible)
