"""What an operator can have done. REST and the NOC's WebSocket both end up here.

Each command that changes something is an event on the bus and a line in the log, with where it came from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from finstream.children.supervisor import Supervisor
from finstream.servers.routes import Call
from finstream.services.bus import Bus
from finstream.services.config_plan import Plan
from finstream.services.config_watch import ConfigWatch
from finstream.services.logs import Logger, Logs
from finstream.services.metronome import Metronome
from finstream.services.sessions import Sessions
from finstream.services.telemetry import Telemetry
from finstream.services.telemetry_view import Telemetry as TelemetryView
from finstream.vocabulary.commands import AssetCommandAccepted, DisconnectAccepted, LogLevelAnswer, RebootAccepted
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import CommandReceived, LogLevelChanged
from finstream.vocabulary.market import MarketView

__all__ = ["Commands"]


class Commands:
    """The handlers of the admin routes. ``reboot(origin)`` begins a restart of the whole engine, or raises ConfigError if it could
    not start again."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        sessions: Sessions,
        config: ConfigWatch,
        metronome: Metronome,
        telemetry: Telemetry,
        logs: Logs,
        bus: Bus,
        logger: Logger,
        epoch: str,
        reboot: Callable[[str], Awaitable[None]],
    ) -> None:
        self._supervisor = supervisor
        self._sessions = sessions
        self._config = config
        self._metronome = metronome
        self._telemetry = telemetry
        self._logs = logs
        self._bus = bus
        self._log = logger
        self._epoch = epoch
        self._reboot = reboot

    # --- assets: the supervisor tells of their commands itself ---

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

    # --- the rest ---

    async def disconnect(self, call: Call) -> DisconnectAccepted:
        uuid = call.arguments["uuid"]
        session = self._sessions.get(uuid)
        self._tell("disconnect", uuid, call)
        if session.connection is None:
            raise RequestError("wrong-state", "the client is not connected")
        session.connection.close("disconnected_by_operator")
        return DisconnectAccepted(client=uuid)

    async def telemetry(self, _call: Call) -> TelemetryView:
        return await self._telemetry.latest()

    async def plan(self, call: Call) -> Plan:
        return self._config.try_out(call.body.text)

    async def reload(self, call: Call) -> Plan:
        self._tell("reload", "config", call)
        return await self._config.reload(call.origin)

    async def set_log_level(self, call: Call) -> LogLevelAnswer:
        level = call.body.level
        self._tell("log level", level, call)
        previous = self._logs.set_level(level)
        if level != previous:
            self._bus.publish(LogLevelChanged(level=level, previous=previous))
        return LogLevelAnswer(level=level, previous=previous)

    async def simulate_market(self, call: Call) -> MarketView:
        self._tell("simulate market", call.body.status or "off", call)
        self._metronome.simulate(call.body.status)
        return await self._metronome.view()

    async def reboot(self, call: Call) -> RebootAccepted:
        self._tell("reboot", "engine", call)
        await self._reboot(call.origin)
        return RebootAccepted(epoch=self._epoch)

    def _tell(self, command: str, target: str, call: Call) -> None:
        self._bus.publish(CommandReceived(command=command, target=target, origin=call.origin))
        self._log.info("command received", command=command, target=target, origin=call.origin)
