"""Load tools, servers and clients for the tests of the benchmark harness."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The harness is no part of the installed package: it is imported from the checkout, and helpers from this folder.
sys.path[:0] = [str(Path(__file__).parent.parent.parent), str(Path(__file__).parent)]

from lying_server import LyingServer  # noqa: E402

from bench.load_client import Endpoint, LoadClient  # noqa: E402
from bench.toolchain import Tools, build_tools  # noqa: E402


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The load tools, compiled without a warning and under the sanitizers."""
    flags = ("-Werror", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return build_tools(tmp_path_factory.mktemp("bench-tools"), extra_flags=flags)


@pytest.fixture
def lying_server() -> Iterator[Callable[..., LyingServer]]:
    """Makes servers; the arguments are those of :class:`LyingServer`."""
    made: list[LyingServer] = []

    def make(connections: int = 1, *, answer: bytes | None = None, after_handshake: bytes = b"") -> LyingServer:
        made.append(LyingServer(connections, answer=answer, after_handshake=after_handshake))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def connect(tools: Tools, tmp_path: Path) -> Iterator[Callable[..., LoadClient]]:
    """Connects a load client to a server: ``connect(server, connections, **endpoint options)``."""
    clients: list[LoadClient] = []

    def make(server: LyingServer, connections: int = 1, *, timeout_s: float = 10.0, **options: object) -> LoadClient:
        endpoint = Endpoint(port=server.port, **options)  # type: ignore[arg-type]
        clients.append(LoadClient(tools.load_client, endpoint, connections, directory=tmp_path, timeout_s=timeout_s))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
