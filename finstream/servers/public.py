"""The public REST interface: clients and their subscriptions, assets, the arena, the market, health."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from finstream.children.status import AssetStatus
from finstream.children.supervisor import Supervisor
from finstream.pump import AssetStatistics, Pump
from finstream.servers.openapi import describe
from finstream.servers.readiness import Readiness
from finstream.servers.routes import Call, Route
from finstream.servers.symbols import symbol_routes
from finstream.services import arena_view
from finstream.services.arena_view import ArenaPlace
from finstream.services.feed_judgement import Hours
from finstream.services.memory_guard import MemoryGuard
from finstream.services.metrics import MEDIA_TYPE, render
from finstream.services.metronome import Metronome
from finstream.services.session import ClientView
from finstream.services.sessions import Sessions
from finstream.services.telemetry import Telemetry
from finstream.services.topic_requests import read_policy
from finstream.vocabulary.commands import Health, Registered, Registration, SubscriptionRequest, TopicList, Topics
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.market import MarketView

__all__ = ["ArenaView", "AssetDetail", "AssetList", "health_routes", "public_routes", "with_description"]

_DESCRIPTION = (
    "Register a client, choose its topics, look at assets and the arena. The ticks themselves come over the stream; "
    "docs/stream-protocol.md describes it. Times are integer microseconds since the epoch, UTC."
)
_TOPIC_PROBLEMS = ("unknown-client", "unknown-asset", "invalid-topic", "too-many-topics")


class AssetList(msgspec.Struct, frozen=True):
    assets: list[AssetStatus]


class AssetDetail(AssetStatus, frozen=True, kw_only=True):
    """An asset's state, and what the pump has counted for it since the engine started."""

    statistics: AssetStatistics


class ArenaView(msgspec.Struct, frozen=True):
    arena: list[ArenaPlace]
    """Best first. By symbol: the sources that have ticked it."""


def public_routes(
    *,
    pump: Pump,
    sessions: Sessions,
    supervisor: Supervisor,
    memory: MemoryGuard,
    metronome: Metronome,
    hours: Callable[[str], Hours],
    telemetry: Telemetry,
    readiness: Readiness,
) -> list[Route]:
    async def market(_call: Call) -> MarketView:
        return await metronome.view()

    async def metrics(_call: Call) -> str:
        return render(await telemetry.latest())

    clients = _Clients(sessions, memory)
    assets = _Assets(pump, supervisor, hours)
    client, subscriptions = "/v1/clients/{uuid}", "/v1/clients/{uuid}/subscriptions"
    routes = [
        Route(
            method="POST", path="/v1/clients", operation="register", summary="Register a client.",
            handler=clients.register, body=Registration,
            answer=Registered, status=201, problems=("too-many-clients", "memory-pressure", "not-ready"),
        ),
        Route(
            method="GET", path=client, operation="describeClient",
            summary="A client: its state, topics, statistics, and how its last connection ended.",
            handler=clients.describe, answer=ClientView, problems=("unknown-client",),
        ),
        Route(
            method="DELETE", path=client, operation="unregister",
            summary="Unregister a client; its connection is closed.",
            handler=clients.unregister, status=204, problems=("unknown-client",),
        ),
        Route(
            method="GET", path=subscriptions, operation="listSubscriptions", summary="The topics of a client.",
            handler=clients.topics, answer=Topics, problems=("unknown-client",),
        ),
        Route(
            method="PUT", path=subscriptions, operation="replaceSubscriptions",
            summary="Subscribe to these topics and no others.",
            handler=clients.replace, body=SubscriptionRequest, answer=Topics, problems=_TOPIC_PROBLEMS,
        ),
        Route(
            method="POST", path=subscriptions, operation="subscribe", summary="Subscribe to these topics as well.",
            handler=clients.subscribe, body=SubscriptionRequest, answer=Topics, problems=_TOPIC_PROBLEMS,
        ),
        Route(
            method="DELETE", path=subscriptions, operation="unsubscribe", summary="Unsubscribe from these topics.",
            handler=clients.unsubscribe, body=TopicList, answer=Topics, problems=("unknown-client", "invalid-topic"),
        ),
        Route(
            method="GET", path="/v1/assets", operation="listAssets",
            summary="All assets and the state of their ingestors.",
            handler=assets.all, answer=AssetList,
        ),
        Route(
            method="GET", path="/v1/assets/{asset}", operation="describeAsset", summary="One asset, with its counters.",
            handler=assets.one, answer=AssetDetail, problems=("unknown-asset",),
        ),
        Route(
            method="GET", path="/v1/arena", operation="rankAssets",
            summary="The pricing assets, ranked by lag, best first.",
            query={"symbol": "Rank by the lag of this symbol only, like BTC/USDT."}, handler=assets.arena,
            answer=ArenaView,
        ),
        Route(
            method="GET", path="/v1/market", operation="describeMarket",
            summary="Whether the stock market is open, who says so, and what comes next.",
            handler=market, answer=MarketView,
        ),
        Route(
            method="GET", path="/metrics", operation="metrics", summary="The metrics, in Prometheus' text format.",
            handler=metrics, answer=str, media_type=MEDIA_TYPE, problems=("not-ready",),
        ),
        *symbol_routes(pump=pump, supervisor=supervisor, hours=hours),
        *health_routes(readiness, memory),
    ]  # fmt: skip
    return with_description("FinStream", _DESCRIPTION, routes)


def health_routes(readiness: Readiness, memory: MemoryGuard) -> list[Route]:
    async def liveness(_call: Call) -> Health:
        return Health(status="alive")

    async def tell_readiness(_call: Call) -> Health:
        if found := readiness.problems():
            raise RequestError("not-ready", "; ".join(found))
        # Also above the hard mark: those that are connected are served, and a restart would cost all of them.
        return Health(status="ready", memory=memory.level)

    return [
        Route(
            method="GET", path="/health/liveness", operation="liveness", summary="Whether the control plane answers.",
            handler=liveness, answer=Health,
        ),
        Route(
            method="GET", path="/health/readiness", operation="readiness", summary="Whether subscribers are served.",
            handler=tell_readiness, answer=Health, problems=("not-ready",),
        ),
    ]  # fmt: skip


def with_description(title: str, text: str, routes: list[Route], *, with_token: bool = False) -> list[Route]:
    """The routes, and one that describes them all and itself."""

    async def openapi(_call: Call) -> msgspec.Raw:
        return document

    itself = Route(
        method="GET", path="/openapi.json", operation="openapi",
        summary="This description.", handler=openapi, answer=dict[str, Any]
    )
    routes = [*routes, itself]
    document = msgspec.Raw(msgspec.json.encode(describe(title, text, routes, with_token=with_token)))
    return routes


class _Clients:
    def __init__(self, sessions: Sessions, memory: MemoryGuard) -> None:
        self._sessions = sessions
        self._memory = memory

    async def register(self, call: Call) -> Registered:
        self._memory.admit()
        return Registered(uuid=self._sessions.register(call.body.client_class).uuid)

    async def describe(self, call: Call) -> ClientView:
        return self._sessions.describe(call.arguments["uuid"])

    async def unregister(self, call: Call) -> None:
        self._sessions.unregister(call.arguments["uuid"], origin=call.origin)

    async def topics(self, call: Call) -> Topics:
        return self._topics(call)

    async def replace(self, call: Call) -> Topics:
        self._sessions.replace(call.arguments["uuid"], call.body.topics, policy=read_policy(call.body))
        return self._topics(call)

    async def subscribe(self, call: Call) -> Topics:
        self._sessions.subscribe(call.arguments["uuid"], call.body.topics, policy=read_policy(call.body))
        return self._topics(call)

    async def unsubscribe(self, call: Call) -> Topics:
        self._sessions.unsubscribe(call.arguments["uuid"], call.body.topics)
        return self._topics(call)

    def _topics(self, call: Call) -> Topics:
        session = self._sessions.get(call.arguments["uuid"])
        return Topics(topics=session.topic_names(), policies=session.policy_names())


class _Assets:
    def __init__(self, pump: Pump, supervisor: Supervisor, hours: Callable[[str], Hours]) -> None:
        self._pump = pump
        self._supervisor = supervisor
        self._hours = hours

    async def all(self, _call: Call) -> AssetList:
        return AssetList(self._supervisor.statuses())

    async def one(self, call: Call) -> AssetDetail:
        status = self._supervisor.status(call.arguments["asset"])
        handle = self._pump.asset_handle(status.name)
        assert handle is not None  # the supervisor makes each of its assets known to the pump
        return AssetDetail(**msgspec.structs.asdict(status), statistics=self._pump.asset_statistics(handle))

    async def arena(self, call: Call) -> ArenaView:
        symbol = call.query.get("symbol")
        assets = {status.name: status for status in self._supervisor.statuses()}
        if symbol is None:
            return ArenaView(arena_view.overall(self._pump, assets, hours=self._hours))
        return ArenaView(arena_view.per_symbol(self._pump, symbol, assets, hours=self._hours))
