"""The engine's public REST interface, typed. :class:`Rest` blocks; :class:`AsyncRest` has the same requests for asyncio
and Trio."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from finstream_client._addresses import DEFAULT_URL
from finstream_client._problems import read_problem
from finstream_client.errors import ProtocolViolation, Refused, Unreachable
from finstream_client.notices import Receipt

__all__ = ["ArenaRow", "Asset", "AsyncRest", "Client", "Market", "Rest", "Symbol"]

_LIMITS: Final = httpx.Limits(max_keepalive_connections=0)
"""None is kept open between requests, which are few: `connect(…).stream(…)` in one line has nobody who would close it."""

_T = TypeVar("_T")


class Asset(Struct, frozen=True, kw_only=True):
    """A source, its state, and why it is in it. ``statistics`` are there when one asset was asked for."""

    name: str
    state: str
    reason: str | None = None
    detail: str | None = None
    kind: str = "pricing"
    origin: str = "live"
    wanted_by: int = 0
    restarts: int = 0
    since_us: int | None = None
    statistics: dict[str, Any] | None = None


class ArenaRow(Struct, frozen=True, kw_only=True):
    """A source's place among those that are ranked by lag; best first. ``lag_us`` is absent before its first tick."""

    rank: int
    asset: str
    state: str | None = None
    lag_us: int | None = None
    lag_smoothed_us: int | None = None
    ticks: int = 0
    silent_ms: int | None = None
    clock_error: bool = False
    severity: int | None = None
    degraded: bool = False


class Symbol(Struct, frozen=True, kw_only=True):
    """A symbol that was ticked since the engine started, and the assets that did."""

    symbol: str
    assets: list[str]


class Market(Struct, frozen=True, kw_only=True):
    """``status`` is ``pre-market``, ``open``, ``after-hours`` or ``closed``; ``source`` says by whose word."""

    status: str
    market: str = ""
    source: str | None = None
    simulated: bool = False
    next_status: str | None = None
    next_change_us: int | None = None
    holiday: str | None = None
    age_ms: int | None = None
    error: str | None = None


class Client(Struct, frozen=True, kw_only=True):
    """A registered client, as the engine sees it."""

    uuid: str
    state: str
    topics: list[str] = []
    statistics: dict[str, Any] | None = None
    last_receipt: Receipt | None = None
    expires_at: int | None = None


class _Assets(Struct):
    assets: list[Asset]


class _Arena(Struct):
    arena: list[ArenaRow]


class _Symbols(Struct):
    symbols: list[Symbol]
    next: str | None = None


class _Requests:
    """What to ask, and how to read the answer."""

    @staticmethod
    def path(*parts: str) -> str:
        return "/" + "/".join(quote(part, safe="") for part in parts)

    @classmethod
    def symbol_path(cls, name: str) -> str:
        """``BTC/USDT`` is ``BTC-USDT`` in a path."""
        return cls.path("symbols", name.replace("/", "-"))

    @staticmethod
    def read(answer: httpx.Response, shape: type[_T]) -> _T:
        if not answer.is_success:
            raise refusal_of(answer)
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except msgspec.DecodeError as error:
            raise ProtocolViolation(f"{answer.request.url}: {error}") from None


def refusal_of(answer: httpx.Response) -> Refused:
    return read_problem(answer.status_code, answer.content, answer.headers.get("Retry-After", ""))


class Rest(_Requests):
    """Each method is one request.

    Raises:
      Unreachable: Nothing answered. Refused: the engine answered with a problem. ProtocolViolation: no engine answered.
    """

    def __init__(self, url: str = DEFAULT_URL, *, ssl_context: ssl.SSLContext | None = None, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/")
        # trust_env would send requests for 127.0.0.1 through a proxy that the environment names for other purposes.
        self._timeout_s = timeout_s
        self._http = httpx.Client(trust_env=False, verify=_trust(self._url, ssl_context), limits=_LIMITS)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Any request, its answer as it is. Without a ``timeout_s`` of its own it has that of all."""
        try:
            return self._http.request(
                method, self._url + path, content=body, headers=_headers(body), params=query, timeout=timeout_s or self._timeout_s
            )
        except httpx.TransportError as error:
            raise _unreachable(self._url, error) from None

    def assets(self) -> list[Asset]:
        return self.read(self.send("GET", "/v1/assets"), _Assets).assets

    def asset(self, name: str) -> Asset:
        return self.read(self.send("GET", self.path("v1", "assets", name)), Asset)

    def arena(self, symbol: str | None = None) -> list[ArenaRow]:
        """Of all symbols together, or of one."""
        return self.read(self.send("GET", "/v1/arena", query={"symbol": symbol} if symbol else None), _Arena).arena

    def market(self) -> Market:
        return self.read(self.send("GET", "/v1/market"), Market)

    def symbols(self) -> list[Symbol]:
        """All of them, by name; one request for every 10,000."""
        page = self.read(self.send("GET", "/symbols"), _Symbols)
        found = page.symbols
        while page.next is not None:
            page = self.read(self.send("GET", "/symbols", query={"after": page.next}), _Symbols)
            found += page.symbols
        return found

    def symbol(self, name: str) -> list[ArenaRow]:
        """The assets that have ticked it, best first. Refused, as ``unknown-symbol``: nobody has."""
        return self.read(self.send("GET", self.symbol_path(name)), _Arena).arena

    def client(self, uuid: str) -> Client:
        return self.read(self.send("GET", self.path("v1", "clients", uuid)), Client)

    def unregister(self, uuid: str) -> None:
        answer = self.send("DELETE", self.path("v1", "clients", uuid))
        if not answer.is_success:
            raise refusal_of(answer)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncRest(_Requests):
    """As :class:`Rest`, awaited."""

    def __init__(self, url: str = DEFAULT_URL, *, ssl_context: ssl.SSLContext | None = None, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(trust_env=False, verify=_trust(self._url, ssl_context), limits=_LIMITS)

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        try:
            return await self._http.request(
                method, self._url + path, content=body, headers=_headers(body), params=query, timeout=timeout_s or self._timeout_s
            )
        except httpx.TransportError as error:
            raise _unreachable(self._url, error) from None

    async def assets(self) -> list[Asset]:
        return self.read(await self.send("GET", "/v1/assets"), _Assets).assets

    async def asset(self, name: str) -> Asset:
        return self.read(await self.send("GET", self.path("v1", "assets", name)), Asset)

    async def arena(self, symbol: str | None = None) -> list[ArenaRow]:
        return self.read(await self.send("GET", "/v1/arena", query={"symbol": symbol} if symbol else None), _Arena).arena

    async def market(self) -> Market:
        return self.read(await self.send("GET", "/v1/market"), Market)

    async def symbols(self) -> list[Symbol]:
        page = self.read(await self.send("GET", "/symbols"), _Symbols)
        found = page.symbols
        while page.next is not None:
            page = self.read(await self.send("GET", "/symbols", query={"after": page.next}), _Symbols)
            found += page.symbols
        return found

    async def symbol(self, name: str) -> list[ArenaRow]:
        return self.read(await self.send("GET", self.symbol_path(name)), _Arena).arena

    async def client(self, uuid: str) -> Client:
        return self.read(await self.send("GET", self.path("v1", "clients", uuid)), Client)

    async def unregister(self, uuid: str) -> None:
        answer = await self.send("DELETE", self.path("v1", "clients", uuid))
        if not answer.is_success:
            raise refusal_of(answer)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _trust(url: str, context: ssl.SSLContext | None) -> ssl.SSLContext | bool:
    # Reading the system's certificates takes longer than most requests, so only where they are needed.
    return context or (ssl.create_default_context() if url.startswith("https:") else False)


def _headers(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


def _unreachable(url: str, error: httpx.TransportError) -> Unreachable:
    why = "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
    return Unreachable(url, why)
