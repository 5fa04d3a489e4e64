from __future__ import annotations

import socket

import pytest

from finstream.servers.front import Listeners
from finstream.servers.listeners import ListenError, address_of, open_listener, url_of
from finstream.vocabulary.settings import ListenSettings


def test_a_free_port_is_picked() -> None:
    with open_listener("public", "127.0.0.1:0") as listener:
        host, port = address_of(listener)
        assert (host, port > 0) == ("127.0.0.1", True)
        assert url_of("http", listener) == f"http://127.0.0.1:{port}"
        socket.create_connection((host, port)).close()


def test_ipv6() -> None:
    try:
        listener = open_listener("public", "[::1]:0")
    except ListenError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert url_of("http", listener) == f"http://[::1]:{address_of(listener)[1]}"


def test_an_address_in_use_is_named() -> None:
    with open_listener("public", "127.0.0.1:0") as first:
        address = f"127.0.0.1:{address_of(first)[1]}"
        with pytest.raises(ListenError) as raised:
            open_listener("stream", address)
    assert raised.value.taken
    assert str(raised.value).startswith(f"listen.stream: cannot listen on {address}: Address already in use (stop ")


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:0"])
def test_an_address_that_is_not_ours(address: str) -> None:
    with pytest.raises(ListenError) as raised:
        open_listener("admin", address)
    assert not raised.value.taken
    assert f"listen.admin: cannot listen on {address}" in str(raised.value)


def test_all_or_none() -> None:
    with open_listener("public", "127.0.0.1:0") as taken:
        settings = ListenSettings(
            public="127.0.0.1:0", stream="127.0.0.1:0", admin=f"127.0.0.1:{address_of(taken)[1]}"
        )  # fmt: skip
        with pytest.raises(ListenError):
            Listeners(settings)  # an unclosed socket would be a warning, and warnings are errors
