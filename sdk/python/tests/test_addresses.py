from __future__ import annotations

import pytest

from finstream_client._addresses import Addresses


@pytest.mark.parametrize(
    ("url", "stream_url", "stream", "host_header"),
    [
        ("http://127.0.0.1:8080", None, "ws://127.0.0.1:8081", "127.0.0.1:8081"),
        ("https://ticks.example:8080/", None, "wss://ticks.example:8081", "ticks.example:8081"),
        ("http://[::1]:8080", None, "ws://[::1]:8081", "[::1]:8081"),
        ("https://ticks.example", "wss://ticks.example/live/", "wss://ticks.example/live", "ticks.example"),
        ("http://a:1", "ws://b:2", "ws://b:2", "b:2"),
    ],
)
def test_where_the_stream_is(url: str, stream_url: str | None, stream: str, host_header: str) -> None:
    at = Addresses.of(url, stream_url)
    assert (at.stream, at.host_header, at.is_encrypted) == (stream, host_header, stream.startswith("wss"))
    assert not at.public.endswith("/")


@pytest.mark.parametrize(
    ("url", "stream_url", "says"),
    [
        ("127.0.0.1:8080", None, "url is the engine's public address"),
        ("ws://127.0.0.1:8081", None, "url is the engine's public address"),
        ("https://ticks.example", None, "give stream_url too"),
        ("http://a:1", "http://b:2", "stream_url is the stream.s address"),
        (f"http://{'a' * 64}:1", None, "there can be no host"),
        ("http://a:1", f"ws://{'b' * 64}.example:1", "there can be no host of the name 'bbb"),
    ],
)
def test_what_is_no_address(url: str, stream_url: str | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Addresses.of(url, stream_url)
