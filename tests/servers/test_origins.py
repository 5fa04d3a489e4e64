from __future__ import annotations

import pytest

from finstream.servers.origins import Origins
from finstream.vocabulary.errors import RequestError

LOOPBACK = [("127.0.0.1", 8080), ("127.0.0.1", 8081), ("127.0.0.1", 8090)]
EVERYWHERE = [("0.0.0.0", 8080), ("127.0.0.1", 8090)]
PROXY = "https://ticks.example.com"


@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:8080", "http://localhost:8090", "https://LOCALHOST:8081", "http://[::1]:8080", PROXY,
        "https://TICKS.example.com:443",
    ],
)  # fmt: skip
def test_ours(origin: str) -> None:
    Origins([PROXY], LOOPBACK).check_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "null", "", "http://evil.com", "http://evil.com:8080", "http://127.0.0.1", "http://127.0.0.1:3000", "http://127.0.0.1:99999",
        "http://ticks.example.com", "https://ticks.example.com:8443", "https://ticks.example.com.evil.com", "file:///x",
        "http://localhost:8080.evil.com", "http://[", "http://10.0.0.1:8080", "http://127.0.0.1:8080/path", "\x00",
    ],
)  # fmt: skip
def test_foreign(origin: str) -> None:
    with pytest.raises(RequestError) as raised:
        Origins([PROXY], LOOPBACK).check_origin(origin)
    assert raised.value.problem == "foreign-origin"


def test_without_an_origin_it_is_no_browser() -> None:
    Origins([], LOOPBACK).check_origin(None)


def test_bound_to_every_address_an_address_is_ours_but_no_name_is() -> None:
    origins = Origins([], EVERYWHERE)
    assert origins.is_ours("http://192.168.1.5:8080")
    assert origins.is_ours("http://localhost:8080")
    assert not origins.is_ours("http://rebound.evil.com:8080")
    assert not origins.is_ours("http://192.168.1.5:3000")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "[::1]:8080", "ticks.example.com", "x.localhost:1", None, ""]
)
def test_names_that_a_loopback_listener_answers_to(host: str | None) -> None:
    Origins([PROXY], LOOPBACK).check_host(host, "127.0.0.1")


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:8080", "127.0.0.1.evil.com", "10.0.0.1:8080", "[", "a:b:c", "localhost:x"]
)
def test_names_that_it_does_not_answer_to(host: str) -> None:
    with pytest.raises(RequestError) as raised:
        Origins([PROXY], LOOPBACK).check_host(host, "127.0.0.1")
    assert raised.value.problem == "foreign-host"


def test_a_listener_elsewhere_answers_to_any_name() -> None:
    Origins([], EVERYWHERE).check_host("whatever.example.com", "0.0.0.0")
