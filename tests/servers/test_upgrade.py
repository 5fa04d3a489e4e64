"""The opening handshake, as a table and for whatever bytes may come."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finstream.servers.upgrade import NotAHandshakeError, accepting, read_handshake

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    b"Host": b"localhost:8081",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": KEY,
}
REQUEST = b"GET /v1/stream?client=x HTTP/1.1"


def head(*more: bytes, request: bytes = REQUEST, **changed: bytes | None) -> bytes:
    """A good head but for what is ``changed`` (None leaves a header out); ``more`` are further lines."""
    replaced = {name.replace("_", "-").encode(): value for name, value in changed.items()}
    assert replaced.keys() <= HEADERS.keys()
    headers = [name + b": " + value for name, value in (HEADERS | replaced).items() if value is not None]
    return b"\r\n".join([request, *headers, *more, b"", b""])


def test_the_example_of_the_rfc() -> None:
    handshake = read_handshake(head())
    assert handshake.target == "/v1/stream?client=x"
    assert handshake.headers == [(name.lower(), value) for name, value in HEADERS.items()]
    answer = accepting(handshake)
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize(
    "good",
    [
        head(request=b"GET / HTTP/1.1"),
        head(request=b"GET //%ff?a=b&c#d HTTP/1.1"),
        head(Upgrade=b"WebSocket"),
        head(Upgrade=b"h2c, websocket"),
        head(Connection=b"keep-alive, Upgrade"),
        head(Connection=b"keep-alive,\tUPGRADE ,x"),
        head(Host=b""),
        head(Host=b"[::1]:8081"),
        head(b"Content-Length: 0"),
        head(b"Origin: https://dash.example.com"),
        head(b"X-Empty:"),
        head(b"X:\t padded \t"),
        head(b"X: a", b"X: b"),
        head(b"Cookie: \xff\xfe\xe9"),
        head(b"Sec-WebSocket-Extensions: permessage-deflate"),
        head(b"Sec-WebSocket-Protocol: chat"),
        head(*[b"X-%d: y" % number for number in range(95)]),
        head().replace(b"Upgrade: ", b"uPGRADE:").replace(b"Host", b"HOST"),
    ],
)
def test_what_is_a_handshake(good: bytes) -> None:
    assert read_handshake(good).key == KEY


NO_HANDSHAKES = {
    "nothing": b"",
    "only an end": b"\r\n\r\n",
    "no end": head()[:-2],
    "more than the head": head() + b"x",
    "a line feed alone": head().replace(b"\r\n", b"\n"),
    "an empty line first": b"\r\n" + head(),
    "POST": head(request=b"POST /v1/stream HTTP/1.1"),
    "get": head(request=b"get /v1/stream HTTP/1.1"),
    "HTTP/1.0": head(request=b"GET /v1/stream HTTP/1.0"),
    "HTTP/2": head(request=b"GET /v1/stream HTTP/2"),
    "no version": head(request=b"GET /v1/stream"),
    "two spaces": head(request=b"GET  /v1/stream HTTP/1.1"),
    "a space in the target": head(request=b"GET /v1/stream ?client=x HTTP/1.1"),
    "a tab for a space": head(request=b"GET\t/v1/stream\tHTTP/1.1"),
    "a whole address": head(request=b"GET ws://localhost/v1/stream HTTP/1.1"),
    "an asterisk": head(request=b"GET * HTTP/1.1"),
    "a target beyond ASCII": head(request=b"GET /v1/\xc3\xa9 HTTP/1.1"),
    "a preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no Host": head(Host=None),
    "two Hosts": head(b"Host: elsewhere"),
    "the same Host twice": head(b"host: localhost:8081"),
    "no Upgrade": head(Upgrade=None),
    "another Upgrade": head(Upgrade=b"h2c"),
    "part of a word": head(Upgrade=b"websockets"),
    "no Connection": head(Connection=None),
    "another Connection": head(Connection=b"keep-alive"),
    "no version of the protocol": head(Sec_WebSocket_Version=None),
    "version 8": head(Sec_WebSocket_Version=b"8"),
    "two versions in one": head(Sec_WebSocket_Version=b"13, 8"),
    "two versions": head(b"Sec-WebSocket-Version: 13"),
    "no key": head(Sec_WebSocket_Key=None),
    "an empty key": head(Sec_WebSocket_Key=b""),
    "a short key": head(Sec_WebSocket_Key=base64.b64encode(b"x" * 15)),
    "a long key": head(Sec_WebSocket_Key=base64.b64encode(b"x" * 17)),
    "a key that is not Base64": head(Sec_WebSocket_Key=b"!" * 24),
    "a key with a space within": head(Sec_WebSocket_Key=KEY[:10] + b" " + KEY[10:]),
    "a key without its end": head(Sec_WebSocket_Key=KEY[:-1]),
    "a key beyond ASCII": head(Sec_WebSocket_Key=b"\xe9" * 24),
    "two keys": head(b"Sec-WebSocket-Key: " + KEY),
    "two origins": head(b"Origin: https://a", b"Origin: https://b"),
    "a body": head(b"Content-Length: 2"),
    "a body in chunks": head(b"Transfer-Encoding: chunked"),
    "two lengths": head(b"Content-Length: 0", b"Content-Length: 0"),
    "a length that is none": head(b"Content-Length: +0"),
    "a header without a colon": head(b"X"),
    "a header without a name": head(b": x"),
    "a space before the colon": head(b"X : y"),
    "a folded header": head(b"X: y", b" z"),
    "a NUL in a header": head(b"X: a\x00b"),
    "a line feed in a header": head(b"X: a\nHost: b"),
    "a carriage return in a header": head(b"X: a\rb"),
    "a DEL in a header": head(b"X: \x7f"),
    "a name beyond ASCII": head(b"\xc3\xa9: y"),
    "too many headers": head(*[b"X-%d: y" % number for number in range(96)]),
}


@pytest.mark.parametrize("name", NO_HANDSHAKES)
def test_what_is_no_handshake(name: str) -> None:
    with pytest.raises(NotAHandshakeError, match=r"\w+"):
        read_handshake(NO_HANDSHAKES[name])


def test_a_change_of_a_header_is_the_only_reason() -> None:
    """The table above would prove nothing if a good head were refused, too."""
    assert read_handshake(head())
    assert len(set(NO_HANDSHAKES.values())) == len(NO_HANDSHAKES)


# --- whatever comes ---

TOKEN = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=20).map(str.encode)
VALUE = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F))
TARGET = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40).map(lambda text: b"/" + text.encode())
MEANT = {name.lower() for name in HEADERS} | {b"origin", b"content-length", b"transfer-encoding"}
OTHERS = st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in MEANT), VALUE), max_size=20)


@given(target=TARGET, others=OTHERS, key=st.binary(min_size=16, max_size=16), order=st.randoms(use_true_random=False))
def test_all_that_is_told_is_what_was_said(target: bytes, others: list[tuple[bytes, bytes]], key: bytes, order: object) -> None:
    headers = [*(HEADERS | {b"Sec-WebSocket-Key": base64.b64encode(key)}).items(), *others]
    order.shuffle(headers)  # type: ignore[attr-defined]
    lines = [name + b":" + value for name, value in headers]
    handshake = read_handshake(b"\r\n".join([b"GET " + target + b" HTTP/1.1", *lines, b"", b""]))
    assert handshake.target == target.decode()
    assert handshake.headers == [(name.lower(), value.strip(b" \t")) for name, value in headers]
    digest = hashlib.sha1(base64.b64encode(key) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" in accepting(handshake)


def is_read(said: bytes) -> bool:
    """No exception but the one. What is accepted is safe to go on with."""
    try:
        handshake = read_handshake(said)
    except NotAHandshakeError:
        return False
    assert handshake.target.startswith("/")
    assert handshake.target.isascii()
    assert len(base64.b64decode(handshake.key)) == 16
    for name, value in handshake.headers:
        assert name == name.lower()
        assert not any(byte < 0x20 and byte != 0x09 for byte in name + value)
    assert b"\r\n\r\n" not in accepting(handshake)[:-4]
    return True


@given(said=st.binary(max_size=300), ends=st.booleans())
def test_whatever_comes(said: bytes, ends: bool) -> None:
    is_read(said + b"\r\n\r\n" if ends else said)


@given(data=st.data())
def test_whatever_becomes_of_a_good_head(data: st.DataObject) -> None:
    """Pieces cut out, doubled, replaced and put in."""
    said = head(b"Origin: https://a", b"Content-Length: 0", b"X: y")
    pieces = st.sampled_from([*said.split(b"\r\n"), b"\r\n", b": ", b"\x00", b"\xff", b",", b" ", b"=", b"13", KEY])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(said)))
        stop = data.draw(st.integers(start, min(len(said), start + 30)))
        said = said[:start] + data.draw(pieces | st.binary(max_size=5)) + said[stop:]
    is_read(said)


@given(at=st.integers(0, len(head()) - 1))
def test_a_part_of_a_head_is_none(at: int) -> None:
    assert is_read(head())
    assert not is_read(head()[:at])
