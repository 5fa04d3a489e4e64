"""While a feed runs: fetch the venue's listing anew each day, keep it, and tell which subscribed symbols are no longer in it
or not traded now."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterable
from typing import Final

from .exits import MisconfiguredError
from .lines import LineWriter
from .listings import FRESH_S, Listings, NotFetchedError
from .symbols import Listing

__all__ = ["watch_listing"]

_SPREAD: Final = 0.1
"""Ingestors that were started together do not ask together."""


async def watch_listing(listings: Listings, raw_symbols: Iterable[str], writer: LineWriter, *, period_s: float = FRESH_S) -> None:
    """Until cancelled. What cannot be fetched is told and tried again a period later."""
    names = list(raw_symbols)
    while True:
        await asyncio.sleep(period_s * random.uniform(1.0, 1.0 + _SPREAD))  # noqa: S311 - no secret
        try:
            listing = await _refresh(listings)
        except (NotFetchedError, MisconfiguredError) as error:
            writer.status("listing", f"{error}; the one of yesterday stays")
            continue
        gone = [name for name in names if name not in listing.symbols]
        if gone:
            writer.status("listing", f"no longer listed: {', '.join(gone)}")
        if halted := listing.halted_among(names):
            writer.status("listing", f"not traded now: {halted}")


async def _refresh(listings: Listings) -> Listing:
    """In a thread that nobody waits for: leaving must not wait for a server that does not answer."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Listing] = loop.create_future()

    def settle(result: Listing | Exception) -> None:
        if done.cancelled():
            return
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)

    def fetch() -> None:
        result: Listing | Exception
        try:
            result = listings.refresh()
        except (NotFetchedError, MisconfiguredError) as error:
            result = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=fetch, name="listing", daemon=True).start()
    return await done
