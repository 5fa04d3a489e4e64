"""The admin REST interface: commands of an operator. It listens apart from the public one, on loopback or behind a
token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping

from quart import Request

from finstream.children.supervisor import Supervisor
from finstream.servers.public import health_routes, with_description
from finstream.servers.routes import Call, Route
from finstream.services.bus import Bus
from finstream.services.config_plan import Plan
from finstream.services.config_watch import ConfigWatch
from finstream.services.logs import Logs
from finstream.services.memory_guard import MemoryGuard
from finstream.services.metronome import Metronome
from finstream.vocabulary.addresses import split_address
from finstream.vocabulary.commands import (
    AssetCommandAccepted,
    LogLevelAnswer,
    LogLevelRequest,
    MarketSimulation,
    RebootAccepted,
)
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.events import CommandReceived, LogLevelChanged
from finstream.vocabulary.market import MarketView
from finstream.vocabulary.settings import Settings

__all__ = ["admin_routes", "admin_token", "check_token"]

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
        if token is None:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # In a time that tells nothing of how much of it was right.
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise RequestError("unauthorized", "send Authorization: Bearer TOKEN, with the engine's admin token")

    return check


def admin_routes(
    *,
    supervisor: Supervisor,
    config: ConfigWatch,
    logs: Logs,
    bus: Bus,
    epoch: str,
    reboot: Callable[[str], Awaitable[None]],
    is_ready: Callable[[], bool],
    memory: MemoryGuard,
    metronome: Metronome,
    with_token: bool,
) -> list[Route]:
    """``reboot(origin)`` begins a restart of the whole engine, or raises ConfigError if it could not start again."""
    commands = _Commands(supervisor, config, logs, bus, epoch, reboot)

    async def simulate_market(call: Call) -> MarketView:
        bus.publish(CommandReceived(command="simulate market", target=call.body.status or "off", origin=call.origin))
        metronome.simulate(call.body.status)
        return await metronome.view()

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
            method="PUT", path="/v1/logs/level", operation="setLogLevel", summary="Change how much is logged, at once.",
            handler=commands.set_log_level, body=LogLevelRequest, answer=LogLevelAnswer,
        ),
        Route(
            method="PUT", path="/v1/market/simulation", operation="simulateMarket",
            summary="Make up the stock market's status and stop asking for it; null: the truth again. Only in mode: simulation.",
            handler=simulate_market, body=MarketSimulation, answer=MarketView, problems=("wrong-state",),
        ),
        Route(
            method="POST", path="/v1/reboot", operation="reboot", summary="Stop the engine cleanly and start it again.",
            handler=commands.reboot, answer=RebootAccepted, status=202, problems=("config-rejected", "wrong-state"),
        ),
        *health_routes(is_ready, memory),
    ]  # fmt: skip
    return with_description("FinStream admin", _DESCRIPTION, routes, with_token=with_token)


class _Commands:
    def __init__(
        self,
        supervisor: Supervisor,
        config: ConfigWatch,
        logs: Logs,
        bus: Bus,
        epoch: str,
        reboot: Callable[[str], Awaitable[None]],
    ) -> None:
        self._supervisor = supervisor
        self._config = config
        self._logs = logs
        self._bus = bus
        self._epoch = epoch
        self._reboot = reboot

    async def pause(self, call: Call) -> AssetCommandAccepted:
        await self._supervisor.pause(call.arguments["asset"], origin=call.origin)
        return self._state(call)

    async def start(self, call: Call) -> AssetCommandAccepted:
        await self._supervisor.start(call.arguments["asset"], origin=call.origin)
        return self._state(call)

    async def restart(self, call: Call) -> AssetCommandAccepted:
        await self._supervisor.restart(call.arguments["asset"], origin=call.origin)
        return self._state(call)

    def _state(self, call: Call) -> AssetCommandAccepted:
        status = self._supervisor.status(call.arguments["asset"])
        return AssetCommandAccepted(asset=status.name, state=status.state)

    async def reload(self, call: Call) -> Plan:
        self._bus.publish(CommandReceived(command="reload", target="config", origin=call.origin))
        return await self._config.reload(call.origin)

    async def set_log_level(self, call: Call) -> LogLevelAnswer:
        level = call.body.level
        self._bus.publish(CommandReceived(command="log level", target=level, origin=call.origin))
        previous = self._logs.set_level(level)
        if level != previous:
            self._bus.publish(LogLevelChanged(level=level, previous=previous))
        return LogLevelAnswer(level=level, previous=previous)

    async def reboot(self, call: Call) -> RebootAccepted:
        self._bus.publish(CommandReceived(command="reboot", target="engine", origin=call.origin))
        await self._reboot(call.origin)
        return RebootAccepted(epoch=self._epoch)
