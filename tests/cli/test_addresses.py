from __future__ import annotations

import pytest

from finstream.cli.addresses import Addresses, Side, as_url


@pytest.mark.parametrize(
    ("side", "text", "url"),
    [
        ("public", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("public", "http://feed.example.com", "http://feed.example.com"),
        ("public", "https://feed.example.com/", "https://feed.example.com"),
        ("stream", "127.0.0.1:8081", "ws://127.0.0.1:8081"),
        ("stream", "http://[::1]:8081", "ws://[::1]:8081"),
        ("stream", "https://feed.example.com", "wss://feed.example.com"),
        ("admin", "ws://127.0.0.1:8090", "http://127.0.0.1:8090"),
    ],
)
def test_what_is_understood_as_an_address(side: Side, text: str, url: str) -> None:
    assert as_url(side, text) == url


@pytest.mark.parametrize("text", ["", "ftp://host", "http://", "host:99999", "host:x", "http://host/path", "host?x=1"])
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError):
        as_url("public", text)


def test_only_addresses_that_differ_need_options() -> None:
    assert Addresses().differing_options("public", "stream", "admin") == ""
    moved = Addresses(public="http://127.0.0.1:9", stream="ws://127.0.0.1:10")
    assert moved.differing_options("public", "stream") == " --public http://127.0.0.1:9 --stream ws://127.0.0.1:10"
    assert moved.differing_options("admin") == ""
