"""The admin REST interface: commands of an operator. It listens apart from the public one, on loopback or behind a
token."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from quart import Request

from finstream.servers.admin_commands import Commands
from finstream.servers.public import health_routes, with_description
from finstream.servers.readiness import Readiness
from finstream.servers.routes import Route
from finstream.services.config_plan import Plan
from finstream.services.memory_guard import MemoryGuard
from finstream.services.telemetry_view import Telemetry
from finstream.vocabulary.addresses import split_address
from finstream.vocabulary.commands import (
    AssetCommandAccepted,
    DisconnectAccepted,
    LogLevelAnswer,
    LogLevelRequest,
    MarketSimulation,
    PlanRequest,
    RebootAccepted,
)
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.market import MarketView
from finstream.vocabulary.settings import Settings

__all__ = ["admin_routes", "admin_token", "bearer", "check_token", "require_token"]

_DESCRIPTION = (
    "Commands of an operator. On any address but loopback, each request needs the admin token: "
    "Authorization: Bearer TOKEN."
)


def admin_token(settings: Settings, environment: Mapping[str, str]) -> str | None:
    """The token that requests must carry; None where none is set and the listener is on loopback.

    Raises:
      ConfigError: the listener is not on loopback and there is no token.
    """
    name = settings.admin.token_env
    token = environment.get(name, "")
    if token:
        return token
    if split_address(settings.listen.admin).is_loopback:
        return None
    raise ConfigError(
        "listen.admin",
        f"{settings.listen.admin} is not on loopback, so the admin side needs a token",
        f"set the environment variable {name} to a secret, or listen on 127.0.0.1",
    )


def check_token(token: str | None) -> Callable[[Request], None]:
    """A check for :func:`finstream.servers.http.make_app`."""

    def check(request: Request) -> None:
        require_token(token, bearer(request.headers.get("Authorization", "")))

    return check


def bearer(authorization: str) -> str:
    """The token of an ``Authorization`` header; empty if there is none."""
    scheme, _, given = authorization.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def require_token(token: str | None, given: str) -> None:
    """
    Raises:
      RequestError: ``unauthorized``: ``given`` is not ``token``, which is None where none is needed.
    """
    # In a time that tells nothing of how much of it was right.
    if token is not None and not hmac.compare_digest(given.encode(), token.encode()):
        raise RequestError("unauthorized", "send Authorization: Bearer TOKEN, with the engine's admin token")


def admin_routes(commands: Commands, *, readiness: Readiness, memory: MemoryGuard, with_token: bool) -> list[Route]:
    """Commands come over REST by these routes; and over the NOC's WebSocket, by their operations."""
    asset_problems = ("unknown-asset", "wrong-state")
    routes = [
        Route(
            method="POST", path="/v1/assets/{asset}/pause", operation="pause",
            summary="Stop an asset's ingestor and keep it stopped until it is started.",
            handler=commands.pause, answer=AssetCommandAccepted, status=202, problems=asset_problems,
        ),
        Route(
            method="POST", path="/v1/assets/{asset}/start", operation="start",
            summary="Start an asset that was paused, is done or has given up.",
            handler=commands.start, answer=AssetCommandAccepted, status=202, problems=asset_problems,
        ),
        Route(
            method="POST", path="/v1/assets/{asset}/restart", operation="restart",
            summary="Stop and start an asset's ingestor.",
            handler=commands.restart, answer=AssetCommandAccepted, status=202, problems=asset_problems,
        ),
        Route(
            method="POST", path="/v1/config/reload", operation="reload",
            summary="Read the configuration file again and apply it.",
            handler=commands.reload, answer=Plan, problems=("config-rejected", "wrong-state"),
        ),
        Route(
            method="POST", path="/v1/config/plan", operation="plan",
            summary="What reading the configuration file again would change; or another text in its place. Changes nothing.",
            handler=commands.plan, body=PlanRequest, answer=Plan, problems=("config-rejected",),
        ),
        Route(
            method="POST", path="/v1/clients/{uuid}/disconnect", operation="disconnect",
            summary="Close a client's connection. It may come back.",
            handler=commands.disconnect, answer=DisconnectAccepted, status=202, problems=("unknown-client", "wrong-state"),
        ),
        Route(
            method="GET", path="/v1/telemetry", operation="telemetry", summary="How everything is: at most a second old.",
            handler=commands.telemetry, answer=Telemetry, problems=("not-ready",),
        ),
        Route(
            method="PUT", path="/v1/logs/level", operation="setLogLevel", summary="Change how much is logged, at once.",
            handler=commands.set_log_level, body=LogLevelRequest, answer=LogLevelAnswer,
        ),
        Route(
            method="PUT", path="/v1/market/simulation", operation="simulateMarket",
            summary="Make up the stock market's status and stop asking for it; null: the truth again. Only in mode: simulation.",
            handler=commands.simulate_market, body=MarketSimulation, answer=MarketView, problems=("wrong-state",),
        ),
        Route(
            method="POST", path="/v1/reboot", operation="reboot", summary="Stop the engine cleanly and start it again.",
            handler=commands.reboot, answer=RebootAccepted, status=202, problems=("config-rejected", "wrong-state"),
        ),
        *health_routes(readiness, memory),
    ]  # fmt: skip
    return with_description("FinStream admin", _DESCRIPTION, routes, with_token=with_token)
