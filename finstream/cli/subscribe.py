"""``finstream subscribe TOPIC…``"""

from __future__ import annotations

import math
from typing import get_args

import click
import trio

from finstream.cli import exits
from finstream.cli.addresses import Addresses, address_options
from finstream.cli.commands import Command, examples
from finstream.cli.output import LineWriter, json_option, say, terminal
from finstream.cli.signals import until_asked_to_stop
from finstream.cli.subscription import Subscription
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.policies import MAX_RATE, MIN_RATE, PLAIN, Policy, Trades, WhenBehind
from finstream.vocabulary.topics import parse_topic

__all__ = ["subscribe"]


@click.command(
    cls=Command,
    epilog=examples(
        "finstream subscribe binance",
        "finstream subscribe binance:BTC/USDT coinbase:BTC/USD",
        "finstream subscribe binance --json | jq -r 'select(.type == \"tick\") | [.symbol, .price] | @tsv'",
        "finstream subscribe binance --count 100 --json > ticks.jsonl",
        "finstream subscribe binance coinbase --policy conflate --trades conflate --max-rate 4",
    ),
)
@click.argument("topics", metavar="TOPIC...", nargs=-1)
@click.option("--client", metavar="UUID", help="Connect as this registered client, instead of as a new one.")
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="End after N messages of the topics.")
@click.option("--seconds", metavar="N", type=click.FloatRange(min=0, min_open=True), help="End after N seconds.")
@click.option("--no-reconnect", is_flag=True, help="End when the connection ends, instead of coming back.")
@click.option(
    "--policy",
    type=click.Choice(get_args(WhenBehind)),
    default=PLAIN.policy,
    show_default=True,
    help="When this end reads too slowly: be let go, jump to now and be told the gap, or get only the newest quotes.",
)
@click.option(
    "--trades",
    type=click.Choice(get_args(Trades)),
    default=PLAIN.trades,
    show_default=True,
    help="Whether --policy conflate may merge trades too.",
)
@click.option(
    "--max-rate",
    metavar="N",
    type=click.FloatRange(MIN_RATE, MAX_RATE),
    help=f"At most N messages a second and symbol, the newest ({MIN_RATE:g} to {MAX_RATE:g}).",
)
@address_options("public", "stream")
@json_option
def subscribe(
    addresses: Addresses,
    topics: tuple[str, ...],
    client: str | None,
    count: int | None,
    seconds: float | None,
    no_reconnect: bool,
    policy: WhenBehind,
    trades: Trades,
    max_rate: float | None,
    as_json: bool,
) -> int:
    """Print the ticks of TOPICs as they come, until Ctrl-C.

    A topic is an asset (binance), one symbol of it (binance:BTC/USDT), or a symbol from whichever source is best at it
    (best:BTC/USDT). Lines show the time stamp (UTC), asset, symbol, trade, best bid / best ask, and lag. With --json
    every message is printed as the engine sent it, control messages included. A tick that stands for several, by
    --policy conflate or --max-rate, ends in how many were merged into it.

    When the connection breaks it is made again, after a pause that grows, as the same client: its subscriptions hold.
    """
    if not topics and client is None:
        raise click.UsageError("Name a topic: an asset, or asset:SYMBOL. `finstream assets` lists the assets.")
    for topic in topics:
        try:
            parse_topic(topic)
        except RequestError as error:
            raise click.BadParameter(error.detail, param_hint="TOPIC") from None

    choices = Policy(policy=policy, trades=trades, max_rate=max_rate)
    if trades != "keep" and policy != "conflate":
        raise click.UsageError("--trades conflate needs --policy conflate.")
    if choices != PLAIN and not topics:
        raise click.UsageError("--policy, --trades and --max-rate are for TOPICs: name them.")

    async def receive() -> int:
        writer = LineWriter()
        subscription = Subscription(
            addresses,
            topics,
            write=writer.write,
            note=lambda text: say(text, dim=True, err=True),
            client=client,
            count=count,
            reconnect=not no_reconnect,
            policy=choices,
            as_json=as_json,
            colour=terminal().is_terminal,
        )
        return await _while_somebody_reads(writer, subscription, seconds)

    return trio.run(until_asked_to_stop, receive)


async def _while_somebody_reads(writer: LineWriter, subscription: Subscription, seconds: float | None) -> int:
    code: int = exits.OK
    failure: Exception | None = None

    async def print_lines() -> None:
        try:
            await writer.run()
        except BrokenPipeError:  # head has seen enough
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(print_lines)
        try:
            with trio.move_on_after(math.inf if seconds is None else seconds):
                code = await subscription.run()
        except Exception as error:  # kept bare: the nursery would wrap it
            failure = error
        writer.finish()
    if failure is not None:
        raise failure
    return code
