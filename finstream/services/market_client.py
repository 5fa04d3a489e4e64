"""One question to Nasdaq's market-info API, over HTTP."""

from __future__ import annotations

import datetime
import email.utils
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from finstream.services.market_reply import MarketSilent, Reading, read_reply

if TYPE_CHECKING:
    import httpx

__all__ = ["NASDAQ", "MarketClient", "open_client"]

NASDAQ = "https://api.nasdaq.com/api/market-info"
_TIMEOUT_S = 15.0
"""For one answer as a whole. The API leaves clients that it does not like without any."""
_MOST_BYTES = 256 * 1024
"""An answer has about one kilobyte."""
_GZIP = 16 + zlib.MAX_WBITS
_HEADERS = {
    # Without a browser's it refuses, or does not answer at all.
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip",
    "Accept-Language": "en-US,en;q=0.9",
    "Origin": "https://www.nasdaq.com",
    "Referer": "https://www.nasdaq.com/",
}


class MarketClient:
    """Asks at one address."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def ask(self) -> Reading:
        """
        Raises:
          MarketSilent: there was no answer in time, or none that can be used.
        """
        import httpx

        with trio.move_on_after(_TIMEOUT_S):
            try:
                async with self._http.stream("GET", self._url) as answer:
                    if answer.status_code != 200:
                        raise MarketSilent(f"HTTP {answer.status_code}", retry_after_s=_retry_after_s(answer.headers))
                    return read_reply(await _body(answer))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise MarketSilent(_why(error)) from None
        raise MarketSilent(f"no answer within {_TIMEOUT_S:g} s")


async def _body(answer: httpx.Response) -> bytes:
    body = b""
    # To its end, and decompressed only then: generators of the library that are left half-way are left for good.
    async for part in answer.aiter_raw():
        body += part if len(body) <= _MOST_BYTES else b""
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        try:
            body = zlib.decompressobj(_GZIP).decompress(body, _MOST_BYTES + 1)
        except zlib.error as error:
            raise MarketSilent(f"not a reply that can be decompressed: {error}") from None
    if len(body) > _MOST_BYTES:
        raise MarketSilent(f"an answer of more than {_MOST_BYTES} bytes")
    return body


def _why(error: BaseException) -> str:
    """The first words in a chain of errors: libraries wrap what the system or TLS said, and say nothing themselves."""
    name = type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        if str(cause):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return name


def _retry_after_s(headers: httpx.Headers) -> float:
    """Given in seconds or as a date; a date is taken against that of the answer, for our clock may differ. 0: not given."""
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    until, said = _date(text), _date(headers.get("Date", ""))
    return 0.0 if until is None else max(0.0, (until - (said or datetime.datetime.now(datetime.UTC))).total_seconds())


def _date(text: str) -> datetime.datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=datetime.UTC)


@asynccontextmanager
async def open_client(url: str) -> AsyncIterator[MarketClient]:
    """Leaving the context closes its connection."""
    # Both take tens of milliseconds, which the control plane does not have at once.
    trust = await trio.to_thread.run_sync(_trust, url)
    import httpx

    # Of the environment it takes proxies, which are of no use for this machine itself.
    outside = url.startswith("https:")
    async with httpx.AsyncClient(headers=_HEADERS, timeout=_TIMEOUT_S, verify=trust, trust_env=outside) as http:
        yield MarketClient(http, url)


def _trust(url: str) -> ssl.SSLContext | bool:
    import httpx  # noqa: F401 - for the first time here, in a thread

    return ssl.create_default_context() if url.startswith("https:") else False
