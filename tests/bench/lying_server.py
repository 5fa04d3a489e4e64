"""A WebSocket server that does what it is told, also what is wrong."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading

__all__ = ["LyingServer", "frame"]


def frame(payload: bytes, *, opcode: int = 1, final: bool = True) -> bytes:
    """A server's frame; see RFC 6455, section 5.2."""
    first = bytes([(0x80 if final else 0) | opcode])
    if len(payload) < 126:
        return first + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return first + b"\x7e" + len(payload).to_bytes(2, "big") + payload
    return first + b"\x7f" + len(payload).to_bytes(8, "big") + payload


class LyingServer:
    """Sends exactly the bytes it is told to.

    Handshakes run in a thread, since the client waits for them; after that the test writes to :attr:`connections`.
    """

    def __init__(self, connections: int, *, answer: bytes | None = None, after_handshake: bytes = b"") -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wanted = connections
        self._answer = answer
        self._after_handshake = after_handshake
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def _accept(self) -> None:
        for _ in range(self._wanted):
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return  # closed: the client did not come
            connection.settimeout(10)
            self.connections.append(connection)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            self.requests.append(request)
            connection.sendall((self._answer or self._upgrade(request)) + self._after_handshake)

    @staticmethod
    def _upgrade(request: bytes) -> bytes:
        headers = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
        digest = hashlib.sha1(headers[b"Sec-WebSocket-Key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    def send(self, data: bytes) -> None:
        """To all connections."""
        for connection in self.connections:
            connection.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self.connections:
            connection.close()
