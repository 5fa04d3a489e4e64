"""A venue's REST listing: fetched, kept on disk, and fetched again when it has grown old.

What is kept serves when the venue's REST side does not answer, and its age is told then. Needs the ``httpx`` library, which is
imported only when something is fetched.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from .addresses import shown
from .backoff import Backoff
from .exits import MisconfiguredError
from .lines import LineWriter
from .refusals import refusal_pause_s
from .symbols import Listing

__all__ = ["FRESH_S", "Listings", "NotFetchedError", "cache_folder"]

FRESH_S: Final = 24 * 3600.0
_TIMEOUT_S: Final = 10.0
_HEADERS: Final = {"User-Agent": "finstream", "Accept": "application/json"}
"""Some venues refuse requests without a name."""


class NotFetchedError(Exception):
    """Why, in words. ``wait_s`` is what the venue asked for."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Listings:
    """One venue's listing.

    Args:
        url: Of its REST call.
        read: Reads the body. Raises msgspec.MsgspecError when it is something else.
        cache: The file that keeps the body, gzip; None keeps nothing.
    """

    def __init__(
        self, url: str, read: Callable[[bytes], Listing], cache: Path | None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = url
        self._read = read
        self._cache = cache
        self._sleep = sleep

    def obtain(self, wanted: Sequence[str], writer: LineWriter) -> Listing:
        """A listing, not older than a day where that can be had. Blocks until there is one.

        A kept one that lacks a wanted symbol counts as old: the symbol may be new.

        Raises:
            MisconfiguredError: The httpx library is missing.
            OutputClosedError: Nobody reads our lines any more.
        """
        kept, age_s = self._kept()
        if kept is not None and age_s < FRESH_S and set(wanted) <= {*kept.symbols.values(), *kept.refused}:
            return kept
        backoff = Backoff(initial_s=1.0, circuit_after=12)
        while True:
            try:
                return self.refresh()
            except NotFetchedError as error:
                if kept is not None:
                    writer.status("listing", f"{error}; the one kept {age_s / 3600:.0f} h ago serves")
                    return kept
                delay_s = max(backoff.next_delay_s(), error.wait_s)
                writer.status("listing", f"{error}; next attempt in {delay_s:.1f} s; --listing FILE does without")
                self._sleep(delay_s)

    def refresh(self) -> Listing:
        """Fetch it now, and keep it.

        Raises:
            MisconfiguredError: The httpx library is missing.
            NotFetchedError: The venue does not answer as it should.
        """
        body = self._fetch()
        try:
            listing = self._read(body)
        except (msgspec.MsgspecError, ValueError) as error:
            raise NotFetchedError(f"{shown(self._url)} is not the listing that is expected: {error}") from error
        if not listing.symbols:
            raise NotFetchedError(f"{shown(self._url)} lists no symbol")
        self._keep(body)
        return listing

    def _fetch(self) -> bytes:
        try:
            import httpx
        except ImportError as error:
            raise MisconfiguredError(
                f"a venue's listing needs the httpx library ({error}): pip install 'finstream[ingestors]', or give --listing"
            ) from error
        try:
            with httpx.Client(timeout=_TIMEOUT_S, headers=_HEADERS, follow_redirects=False) as client:
                response = client.get(self._url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotFetchedError(f"cannot fetch {shown(self._url)}: {error or type(error).__name__}") from error
        if response.status_code != httpx.codes.OK:
            raise NotFetchedError(
                f"{shown(self._url)} answers with HTTP {response.status_code}",
                wait_s=refusal_pause_s(response.status_code, response.headers.get("Retry-After")),
            )
        return response.content

    def _kept(self) -> tuple[Listing | None, float]:
        """What is kept and how old it is, in seconds."""
        if self._cache is None:
            return None, 0.0
        try:
            age_s = time.time() - self._cache.stat().st_mtime
            listing = self._read(gzip.decompress(self._cache.read_bytes()))
        except (OSError, EOFError, ValueError, msgspec.MsgspecError):
            return None, 0.0  # not there, or not whole: as good as none
        return (listing, age_s) if listing.symbols else (None, 0.0)

    def _keep(self, body: bytes) -> None:
        """In one piece or not at all. Where nothing can be written, nothing is kept."""
        if self._cache is None:
            return
        with contextlib.suppress(OSError):
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._cache.parent, prefix=self._cache.name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(gzip.compress(body, 6))
                os.replace(name, self._cache)  # noqa: PTH105 - of a file that was just made by its name
            except OSError:
                os.unlink(name)  # noqa: PTH108
                raise


def cache_folder() -> Path | None:
    """Where listings are kept, after the XDG base directories; None where there is no home."""
    text = os.environ.get("XDG_CACHE_HOME")
    if text:
        return Path(text) / "finstream" / "listings"
    try:
        return Path.home() / ".cache" / "finstream" / "listings"
    except RuntimeError:
        return None
