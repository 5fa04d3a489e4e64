"""A venue as data, and the program that it makes: options, exit codes, live or replay."""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .addresses import check_address
from .exits import DONE, MISCONFIGURED, IngestorParser, MisconfiguredError, complain, refuse_in_production
from .lines import LineWriter, OutputClosedError
from .listing_watch import watch_listing
from .listings import Listings, cache_folder
from .live import need_websockets, run_live
from .mapper import Endpoint, Feed
from .recording import Recording
from .replay import Pace, replay
from .stopping import Stopped, StopSignals
from .symbols import Listing, parse_symbols, read_listing_file, resolve

__all__ = ["Options", "Venue", "run"]


class Options(argparse.Namespace):
    """The command line, checked. A venue's own options are attributes of it too."""

    symbols: list[str]
    listing: str | None
    cache: Path | None
    replay: Path | None
    speed: float | None
    loop: bool
    url: str | None
    idle_s: float | None
    lifetime_s: float | None


def _no_options(_parser: argparse.ArgumentParser) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Venue:
    """All that is particular to a venue."""

    name: str
    """The module's name."""
    summary: str
    examples: str
    native_name: Callable[[str, str], str]
    """The venue's name of a pair, from its base and quote."""
    open_feed: Callable[[Options, dict[str, str]], Feed]
    """Make a new feed for the mapped symbols (the venue's name -> ``BASE/QUOTE``). Raises MisconfiguredError."""
    listing_url: Callable[[Options], str] | None = None
    """The address of the venue's REST listing; None where there is none, with ``read_listing``."""
    read_listing: Callable[[bytes], Listing] | None = None
    """Read the body of the venue's REST listing. Raises msgspec.MsgspecError when it is something else."""
    takes_tickers: bool = False
    """Names without a slash may be subscribed to and stand for themselves, like ``AAPL``."""
    test_hosts: Collection[str] = ()
    """Hosts of the venue's test endpoints, where their names have no word for it (see ``addresses``)."""
    add_options: Callable[[argparse.ArgumentParser], None] = _no_options


def run(venue: Venue, arguments: Sequence[str] | None = None) -> int:
    """The whole program of a venue ingestor; returns its exit code."""
    options = _parser(venue).parse_args(arguments, namespace=Options())
    writer = LineWriter()
    stop = StopSignals(writer)
    stop.install()
    try:
        _stream(venue, options, writer, stop)
    except MisconfiguredError as error:
        complain(f"{venue.name}: error: {error}")
        return MISCONFIGURED
    except (Stopped, OutputClosedError):
        pass
    return DONE


def _stream(venue: Venue, options: Options, writer: LineWriter, stop: StopSignals) -> None:
    if options.replay is not None:
        refuse_in_production("a replay")
        if options.listing is not None and _is_url(options.listing):
            raise MisconfiguredError("--listing: a replay takes it from a FILE")
        symbols = resolve(options.symbols, _listing_file(venue, options), venue.native_name)
        _replay(venue, options, symbols, Recording(options.replay), writer)
        return
    if options.loop or options.speed != 1.0:
        raise MisconfiguredError("--speed and --loop are for --replay")
    if options.url is not None:
        check_address("--url", options.url, venue.test_hosts)
    need_websockets()
    listings = _listings(venue, options)
    listing = listings.obtain(options.symbols, writer) if listings else _listing_file(venue, options)
    symbols = resolve(options.symbols, listing, venue.native_name)
    if not options.symbols:
        raise MisconfiguredError("--symbols is needed: name what to subscribe to")
    if listing is not None and (halted := listing.halted_among(symbols)):
        writer.status("listing", f"not traded now by the venue's listing, so nothing may come: {halted}")
    feed = venue.open_feed(options, symbols)
    feed = replace(feed, endpoint=_as_told(feed.endpoint, options))

    async def watch() -> None:
        if listings is not None:
            await watch_listing(listings, symbols, writer)

    run_live(feed, writer, stop, watch)


def _listing_file(venue: Venue, options: Options) -> Listing | None:
    if options.listing is None:
        return None
    if venue.read_listing is None:
        raise MisconfiguredError(f"--listing: {venue.name} has none")
    return read_listing_file(Path(options.listing), venue.read_listing)


def _listings(venue: Venue, options: Options) -> Listings | None:
    """Where to ask what the venue lists; None where a file says it, or where another address is given and no listing with
    it: then names are joined."""
    told = options.listing
    if venue.listing_url is None or venue.read_listing is None or (told is not None and not _is_url(told)):
        return None
    if told is None and (options.url is not None or not options.symbols):
        return None
    url = told or venue.listing_url(options)
    check_address("--listing", url, venue.test_hosts)
    folder = options.cache or cache_folder()
    # By address: what another one lists must not serve in its place.
    cache = folder / f"{venue.name}-{zlib.crc32(url.encode()):08x}.json.gz" if folder else None
    return Listings(url, venue.read_listing, cache)


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _as_told(endpoint: Endpoint, options: Options) -> Endpoint:
    """The endpoint with what the command line says in place of what the venue's file says."""
    return replace(
        endpoint,
        url=options.url or endpoint.url,
        idle_s=options.idle_s or endpoint.idle_s,
        lifetime_s=options.lifetime_s or endpoint.lifetime_s,
    )


def _replay(venue: Venue, options: Options, symbols: dict[str, str], recording: Recording, writer: LineWriter) -> None:
    pace_text = "no pacing" if options.speed is None else f"speed {options.speed:g}"
    writer.status("replaying", f"{recording.path.name}, {pace_text}")
    while True:
        open_mapper = venue.open_feed(options, symbols).open_mapper
        tally = replay(recording, open_mapper, writer, Pace(speed=options.speed))
        writer.status("finished", tally.summary())
        if not options.loop:
            return
        if not tally.trades + tally.quotes:
            raise MisconfiguredError(f"--loop: {recording.path} holds nothing for these symbols: {tally.summary()}")


def _parser(venue: Venue) -> argparse.ArgumentParser:
    prog = f"finstream_ingestors.{venue.name}"
    parser = IngestorParser(prog=prog, description=venue.summary, examples=venue.examples)
    parser.add_argument(
        "--symbols", type=partial(_symbols, takes_tickers=venue.takes_tickers), default=[], metavar="BASE/QUOTE,...",
        help="what to subscribe to, like BTC/USDT,ETH/USDT; in a replay, what to pass on",
    )
    parser.add_argument(
        "--listing", metavar="FILE|URL",
        help="the venue's REST listing: a JSON or JSON.gz file, or its address (default: the venue's own; with --url none)",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER",
        help="keep the listing here for a day (default: finstream/listings in the user's cache folder)",
    )
    parser.add_argument("--url", help="connect here instead of the venue's own address")
    parser.add_argument(
        "--idle-s", type=_positive, metavar="SECONDS",
        help="connect again when the venue is silent for so long (default: by venue)",
    )
    parser.add_argument(
        "--lifetime-s", type=_positive, metavar="SECONDS",
        help="open the next connection beside one of this age, and let it take over (default: by venue)",
    )
    recordings = parser.add_argument_group("replay (refused in mode production)")
    recordings.add_argument(
        "--replay", type=Path, metavar="FILE",
        help="recorded messages, one a line (also .gz); their receive times from FILE's .recv.txt neighbour",
    )
    recordings.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N|max",
        help="N times the original pace; max: do not wait (default 1)",
    )
    recordings.add_argument("--loop", action="store_true", help="begin again at the end, for ever")
    venue.add_options(parser)
    return parser


def _symbols(text: str, *, takes_tickers: bool) -> list[str]:
    try:
        return parse_symbols(text, takes_tickers=takes_tickers)
    except MisconfiguredError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--symbols: ")) from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def _speed(text: str) -> float | None:
    return None if text == "max" else _positive(text)
