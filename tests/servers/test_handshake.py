from __future__ import annotations

import msgspec
import pytest

from finstream.servers.handshake import client_of, not_a_handshake
from finstream.servers.origins import Origins
from finstream.vocabulary.errors import RequestError

ORIGINS = Origins(["https://dash.example.com"], [("127.0.0.1", 8081)])
UUID = "3f0c5b1e-8d55-4a50-9f7a-3b1f0d2c9a11"


def refusal(target: str, *headers: tuple[bytes, bytes]) -> tuple[str, str | None]:
    with pytest.raises(RequestError) as raised:
        client_of(target, headers, ORIGINS)
    return raised.value.problem, raised.value.field


def test_a_client_is_named() -> None:
    assert client_of(f"/v1/stream?client={UUID}", [], ORIGINS) == UUID
    assert client_of(f"/v1/stream?client={UUID}", [(b"Origin", b"https://dash.example.com")], ORIGINS) == UUID


@pytest.mark.parametrize("path", ["/", "/v1/stream/", "/v1/streams", "//v1/stream", "/v2/stream"])
def test_only_the_stream_is_here(path: str) -> None:
    assert refusal(f"{path}?client={UUID}") == ("not-found", None)


@pytest.mark.parametrize("query", ["", "?", "?client", f"?client={UUID}&client={UUID}"])
def test_one_client_is_to_be_named(query: str) -> None:
    if query == "?client":
        assert client_of("/v1/stream?client", [], ORIGINS) == ""  # for the sessions to refuse
    else:
        assert refusal(f"/v1/stream{query}") == ("invalid-field", "?client")


def test_unknown_parameters_are_refused() -> None:
    assert refusal(f"/v1/stream?client={UUID}&since=3") == ("invalid-field", "?since")


@pytest.mark.parametrize("origin", [b"https://evil.com", b"null", b"\xff\xfe", b""])
def test_a_foreign_origin_is_refused(origin: bytes) -> None:
    assert refusal(f"/v1/stream?client={UUID}", (b"origin", origin)) == ("foreign-origin", None)


def test_one_foreign_origin_among_several_is_enough() -> None:
    headers = [(b"Origin", b"https://dash.example.com"), (b"Origin", b"https://evil.com")]
    assert refusal(f"/v1/stream?client={UUID}", *headers) == ("foreign-origin", None)


def test_the_answer_to_what_is_no_handshake() -> None:
    head, _, body = not_a_handshake().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 ")
    assert b"\r\nUpgrade: websocket\r\n" in head
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
    assert msgspec.json.decode(body)["type"] == "urn:finstream:problem:upgrade-required"
