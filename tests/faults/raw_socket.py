"""A websocket of a client that reads when it likes, or never."""

import base64
import json
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.faults.proxy import HOST
from tests.system.server import Server

_GONE = select.POLLHUP | select.POLLERR


class RawSocket:
    """A connection that has shaken hands; whatever is sent to it waits to be read."""

    def __init__(self, server: Server, port: int = 0, receive_bytes: int = 0) -> None:
        self._socket = socket.socket()
        if receive_bytes:  # before the handshake: the window is told then
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(30)
        self._socket.connect((HOST, port or server.port))
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws/chat/ HTTP/1.1", f"Host: {HOST}:{server.port}",
            f"Origin: {server.url}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", "",
        ]  # fmt: skip
        self._socket.sendall("\r\n".join(lines).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self._socket.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer

    def send(self, **frame: object) -> None:
        """Send a frame of the protocol."""
        text = json.dumps(frame).encode()
        length = (
            bytes([0x80 | len(text)])
            if len(text) < 126
            else bytes([0x80 | 126]) + struct.pack(">H", len(text))
        )
        self._socket.sendall(b"\x81" + length + bytes(4) + text)  # masked with zeros

    def greet(self, token: str) -> None:
        """Say hello with an empty screen."""
        self.send(type="hello", protocol=1, token=token, last_seq=0)

    @property
    def is_cut(self) -> bool:
        """Return whether the server has let go, though nothing was read."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLRDHUP)
        found = dict(poll.poll(0)).get(self._socket.fileno(), 0)
        return bool(found & (_GONE | select.POLLRDHUP))

    def close(self) -> None:
        """Go away."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def wait_until_cut(sockets: Sequence[RawSocket], timeout_s: float) -> float:
    """Return after how many seconds the last one was let go; raises AssertionError."""
    began_s = time.monotonic()
    while left := sum(not one.is_cut for one in sockets):
        waited_s = time.monotonic() - began_s
        assert waited_s < timeout_s, f"{left} are open after {timeout_s:.0f} s"
        time.sleep(0.1)
    return time.monotonic() - began_s
