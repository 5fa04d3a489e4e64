"""What is refused, tests/services/test_config_refusals.py has among the other errors of the configuration."""

from __future__ import annotations

import pytest

from finstream.vocabulary.addresses import Address, is_loopback, parse_address, split_address


@pytest.mark.parametrize(
    ("text", "address", "is_ours"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("127.1.2.3:0", Address("127.1.2.3", 0), True),
        ("localhost:1", Address("localhost", 1), True),
        ("Feed.LocalHost.:1", Address("Feed.LocalHost.", 1), True),
        ("[::ffff:127.0.0.1]:1", Address("::ffff:127.0.0.1", 1), True),
        ("[::1]:8080", Address("::1", 8080), True),
        ("0.0.0.0:8080", Address("0.0.0.0", 8080), False),
        ("[::]:8080", Address("::", 8080), False),
        ("host.example:65535", Address("host.example", 65535), False),
    ],
)
def test_addresses(text: str, address: Address, is_ours: bool) -> None:
    assert parse_address(text, "listen.public") == split_address(text) == address
    assert address.is_loopback is is_ours


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "example.com", "localhost.example.com", "0.0.0.0", "10.0.0.1", "::", "127.0.0.1.x.com"]
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
