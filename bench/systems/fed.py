"""What servers have in common that are one process, read lines from standard input and listen on a port they are told."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.load_client import Endpoint
from bench.processes import Program
from bench.systems.base import StreamingSystem, free_port, wait_for_port

__all__ = ["FedSystem", "Server", "fed_server"]


class Server:
    """A running process and its endpoint."""

    def __init__(self, program: Program, endpoint: Endpoint) -> None:
        self._program = program
        self._endpoint = endpoint

    @property
    def pids(self) -> list[int]:
        return [self._program.pid]

    def endpoint(self, _subscribers: int) -> Endpoint:
        return self._endpoint


class FedSystem(StreamingSystem):
    env: Mapping[str, str] | None = None
    """Added to the server's environment."""

    @abc.abstractmethod
    def command(self, port: int) -> list[str]:
        """The server's."""

    def endpoint(self, port: int) -> Endpoint:
        """Where and how its subscribers read."""
        return Endpoint(port=port)

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[Server]:
        port = free_port()
        with fed_server(self.command(port), directory, ingestor, self.endpoint(port), name=self.name, env=self.env) as server:
            yield server


@contextlib.contextmanager
def fed_server(
    command: list[str],
    directory: Path,
    ingestor: list[str],
    endpoint: Endpoint,
    *,
    name: str,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """The ingestor's output piped into the command, while the context is open. Raises TrialFailed: it does not listen."""
    producer = Program(ingestor, directory=directory, name="producer")
    try:
        server = Program(command, directory=directory, name=name, stdin=producer.stdout, env=env)
        try:
            wait_for_port(endpoint.port, server)
            yield Server(server, endpoint)
        finally:
            server.stop(grace_s=3.0)
    finally:
        producer.stop(grace_s=1.0)
