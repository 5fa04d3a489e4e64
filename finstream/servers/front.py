"""The three listeners as one: public REST, admin REST, stream."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import trio

from finstream.children.supervisor import Supervisor
from finstream.pump import Pump
from finstream.servers.admin import admin_routes, check_token
from finstream.servers.admin_commands import Commands
from finstream.servers.http import make_app
from finstream.servers.listeners import address_of, open_listener, url_of
from finstream.servers.noc import NocServer
from finstream.servers.noc_connection import Around
from finstream.servers.noc_requests import Requests
from finstream.servers.origins import Origins
from finstream.servers.page import BUILT, Page, with_page
from finstream.servers.public import public_routes
from finstream.servers.readiness import Readiness
from finstream.servers.rest import serve_rest
from finstream.servers.stream import StreamServer
from finstream.servers.surroundings import Surroundings
from finstream.servers.tls import Tls
from finstream.services.bus import Bus
from finstream.services.config_watch import ConfigWatch
from finstream.services.feed_health import FeedHealth
from finstream.services.feed_judgement import Hours
from finstream.services.logs import Logger, Logs
from finstream.services.memory_guard import MemoryGuard
from finstream.services.metronome import Metronome
from finstream.services.ports import wall_clock_us
from finstream.services.sessions import Sessions
from finstream.services.telemetry import Telemetry
from finstream.services.telemetry_view import ServerStatistics
from finstream.vocabulary.settings import ListenSettings, Settings

__all__ = ["Front", "Listeners"]

_DRAIN_S = 6.0
"""How long clients and answers under way may take to come to their end."""


class Listeners:
    """The sockets, bound and listening; connections wait in the backlog until a :class:`Front` serves them.

    Raises:
      ListenError: one of them cannot be bound; the others are closed again.
    """

    def __init__(self, listen: ListenSettings) -> None:
        with ExitStack() as opened:
            self.public = opened.enter_context(open_listener("public", listen.public))
            self.stream = opened.enter_context(open_listener("stream", listen.stream))
            self.admin = opened.enter_context(open_listener("admin", listen.admin))
            self._opened = opened.pop_all()

    def urls(self, *, secure: bool) -> dict[str, str]:
        """With the addresses really bound; ``secure``: they are served with TLS."""
        http, ws = ("https", "wss") if secure else ("http", "ws")
        return {
            "public": url_of(http, self.public),
            "stream": url_of(ws, self.stream),
            "admin": url_of(http, self.admin),
        }

    def by_key(self) -> dict[str, socket.socket]:
        return {"public": self.public, "stream": self.stream, "admin": self.admin}

    def all(self) -> list[socket.socket]:
        return list(self.by_key().values())

    def close(self) -> None:
        self._opened.close()


class Front:
    """``token`` is the admin token, None where none is needed; ``tls`` is None where nothing is encrypted;
    ``reboot(origin)`` begins a restart of the engine.

    The listeners are the caller's to close, after :meth:`run` has returned.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        *,
        pump: Pump,
        sessions: Sessions,
        supervisor: Supervisor,
        memory: MemoryGuard,
        metronome: Metronome,
        health: FeedHealth,
        hours: Callable[[str], Hours],
        telemetry: Telemetry,
        config: ConfigWatch,
        logs: Logs,
        bus: Bus,
        logger: Logger,
        epoch: str,
        token: str | None,
        tls: Tls | None,
        reboot: Callable[[str], Awaitable[None]],
    ) -> None:
        self._listeners = listeners
        self._logger = logger
        self._tls = tls
        self._rest_stop = trio.Event()
        self._readiness = Readiness(pump, listeners.by_key())
        origins = Origins(settings.listen.origins, map(address_of, listeners.all()))
        self._public = make_app(
            public_routes(
                pump=pump,
                sessions=sessions,
                supervisor=supervisor,
                memory=memory,
                metronome=metronome,
                hours=hours,
                telemetry=telemetry,
                readiness=self._readiness,
            ),
            origins=origins,
            listener=address_of(listeners.public)[0],
            logger=logger,
        )
        commands = Commands(
            supervisor=supervisor,
            sessions=sessions,
            config=config,
            metronome=metronome,
            telemetry=telemetry,
            logs=logs,
            bus=bus,
            logger=logger,
            epoch=epoch,
            reboot=reboot,
        )
        routes = admin_routes(commands, readiness=self._readiness, memory=memory, with_token=token is not None)
        admin_host = address_of(listeners.admin)[0]
        ports = {"public": address_of(listeners.public)[1], "stream": address_of(listeners.stream)[1]}
        http, ws = ("http", "ws") if tls is None else ("https", "wss")
        self._admin = with_page(
            make_app(routes, origins=origins, listener=admin_host, logger=logger, check=check_token(token)),
            Page(BUILT, origins=origins, listener=admin_host, ports={http: ports["public"], ws: ports["stream"]}),
        )
        self._requests = Requests(routes, logger)
        self._noc = NocServer(
            Around(self._requests, telemetry, bus, logs, logger, wall_clock_us),
            origins=origins,
            listener=admin_host,
            token=token,
            epoch=epoch,
            mode=settings.mode,
            ports=ports,
            secure=tls is not None,
        )
        self._stream = StreamServer(
            Surroundings(
                pump=pump,
                sessions=sessions,
                origins=origins,
                limits=settings.limits,
                logger=logger,
                epoch=epoch,
                simulated=settings.mode == "simulation",
                wall_us=wall_clock_us,
                asset_message=supervisor.asset_message,
                health_message=health.message,
                admit=memory.admit,
            ),
            tls=tls,
        )

    def statistics(self) -> ServerStatistics:
        encrypted = self._stream.tls_statistics()
        return ServerStatistics(
            not_ready=self._readiness.problems(),
            noc_connections=self._noc.connections,
            noc_commands=self._requests.done,
            noc_refused=self._requests.refused,
            noc_dropped=self._noc.dropped,
            handshakes_failed=None if encrypted is None else encrypted.failed,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until :meth:`stop`; returns once everybody has gone, or been cut off after some seconds."""
        rest = partial(serve_rest, stop=self._rest_stop, logger=self._logger, tls=None if self._tls is None else self._tls.http)
        told = self._readiness.server_is
        public = partial(rest, is_up=partial(told, listener="public"))
        admin = partial(rest, is_up=partial(told, listener="admin"), websocket=self._noc)
        async with trio.open_nursery() as servers:
            await servers.start(public, self._public, self._listeners.public)
            await servers.start(admin, self._admin, self._listeners.admin)
            await servers.start(self._stream.run, self._listeners.stream)
            self._readiness.serves = True
            task_status.started()
            await self._rest_stop.wait()
            servers.cancel_scope.deadline = trio.current_time() + _DRAIN_S

    def stop(self, reason: str, *, children_s: float) -> None:
        """Stop accepting and say goodbye, for ``engine_stopping`` or ``engine_restarting``. Returns at once.

        ``children_s``: how long the children may take afterwards.
        """
        self._readiness.serves = False
        self._stream.stop(reason, children_s=children_s)
        self._noc.stop(reason)
        self._rest_stop.set()
