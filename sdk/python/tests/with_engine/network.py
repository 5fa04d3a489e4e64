"""The network between the SDK and the engine's stream: a forwarder that can be cut, stalled and taken down."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends a reset


class Network:
    """Listens on ``port`` from the beginning; whoever made it calls :meth:`end`."""

    def __init__(self, engine_port: int) -> None:
        self._engine_port = engine_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._flows = threading.Event()
        self._flows.set()
        self._is_up = True
        self._attempts = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._listen)

    def cut(self) -> None:
        with self._changed:
            cut, self._open = self._open, set()
        for one in cut:
            _reset(one)

    def down(self) -> None:
        with self._changed:
            self._is_up = False
            self._attempts = 0
        self.cut()

    def up(self) -> None:
        with self._changed:
            self._is_up = True

    def stall(self) -> None:
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    def await_attempts(self, at_least: int, within_s: float) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._attempts >= at_least, within_s), f"{self._attempts} attempts"

    def end(self) -> None:
        self.flow()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._attempts += 1
                self._changed.notify_all()
                is_up = self._is_up
            try:
                if not is_up:
                    raise ConnectionRefusedError
                engine = socket.create_connection(("127.0.0.1", self._engine_port), 5)
            except OSError:
                _reset(client)
                continue
            engine.settimeout(None)
            with self._changed:
                self._open |= {client, engine}
            self._start(self._forward, client, engine, False)
            self._start(self._forward, engine, client, True)

    def _forward(self, source: socket.socket, target: socket.socket, can_stall: bool) -> None:
        with suppress(OSError):
            while True:
                if can_stall:
                    self._flows.wait()
                data = source.recv(65536)
                if not data:
                    break
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
            return
        _reset(source)
        _reset(target)


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
    one.close()
