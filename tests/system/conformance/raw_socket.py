"""A websocket of hand-made frames (RFC 6455): it sends what no library would.

It reads when it is told to, or never.
"""

import json
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x37\xfa\x21\x3d"
# the key and its answer of RFC 6455, section 1.3
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

_GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP


@dataclass(frozen=True)
class Frame:
    """A frame as it came."""

    opcode: int
    payload: bytes = b""
    is_final: bool = True
    rsv: int = 0

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


@dataclass(frozen=True)
class Response:
    """The head of an HTTP answer."""

    status: int
    headers: dict[str, str]


def build_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    is_final: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length_bytes: int | None = None,
    length: int | None = None,
) -> bytes:
    """Return a frame's bytes, masked unless `mask` is None (section 5.2).

    `length_bytes` (0, 2 or 8) is how the length is written, `length` lies about it.
    """
    length = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 0 if length < 126 else 2 if length < 1 << 16 else 8
    short = {0: length, 2: 126, 8: 127}[length_bytes]
    head = bytes([is_final << 7 | rsv << 4 | opcode, (mask is not None) << 7 | short])
    head += length.to_bytes(length_bytes, "big") if length_bytes else b""
    return head + payload if mask is None else head + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Return the payload masked or, the same, unmasked (section 5.3)."""
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return number.to_bytes(len(payload), "big")


def build_close(code: int, reason: bytes = b"") -> bytes:
    """Return the bytes of a close frame."""
    return build_frame(CLOSE, code.to_bytes(2, "big") + reason)


def build_text(**values: object) -> bytes:
    """Return the bytes of a frame of the chat's protocol."""
    return build_frame(TEXT, json.dumps(values).encode())


def build_hello(token: str, protocol: int = 1) -> bytes:
    """Return the bytes of a hello with an empty screen."""
    return build_text(type="hello", protocol=protocol, token=token, last_seq=0)


def build_request(
    port: int,
    path: str | bytes = "/ws/chat/",
    *,
    method: str = "GET",
    **changes: str | bytes | None,
) -> bytes:
    """Return a handshake; `changes` replaces, adds or (None) removes headers.

    `Sec_WebSocket_Key` stands for the header Sec-WebSocket-Key.
    """
    headers: dict[str, str | bytes | None] = {
        "Host": f"127.0.0.1:{port}",
        "Origin": f"http://127.0.0.1:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [b"%s %s HTTP/1.1" % (method.encode(), as_bytes(path))]
    for name, value in headers.items():
        if value is not None:
            lines.append(b"%s: %s" % (name.encode(), as_bytes(value)))
    return b"\r\n".join([*lines, b"", b""])


def as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


@dataclass
class RawSocket:
    """A TCP connection that reads frames and sends any bytes.

    Reading ends with an EOFError where the server has closed, and a TimeoutError where
    it says nothing.
    """

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)

    @classmethod
    def connect(cls, port: int, receive_buffer: int = 0) -> Self:
        """Return a connection that has said nothing; 0 leaves the buffer as it is."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        return cls(connection)

    def send(self, *data: bytes) -> None:
        """Send all in one go."""
        self.connection.sendall(b"".join(data))

    def send_slowly(self, data: bytes) -> None:
        """Send each byte in a packet of its own, as far as the kernel does."""
        for number in data:
            self.connection.sendall(bytes([number]))

    def read_response(self) -> Response:
        """Return the answer to a handshake; raises EOFError if none came."""
        while b"\r\n\r\n" not in self.received:
            self._receive()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        first, *lines = bytes(head).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        status = int(first.split()[1])
        return Response(status, {name.lower(): headers[name] for name in headers})

    def read_frame(self, timeout_s: float = 10) -> Frame:
        """Return the next frame; raises EOFError after the last."""
        self.connection.settimeout(max(timeout_s, 0.001))
        first, second = self._take(2)
        assert not second & 0x80, "a server masks nothing"
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        payload = self._take(length)
        return Frame(first & 0xF, payload, bool(first & 0x80), first >> 4 & 7)

    def read_close(self, timeout_s: float = 10) -> Frame:
        """Return the close frame behind whatever else comes, and answer it.

        Then the end must come.
        """
        until_s = time.monotonic() + timeout_s
        while (frame := self.read_frame(until_s - time.monotonic())).opcode != CLOSE:
            pass
        with suppress(OSError):  # it may be gone already
            self.send(build_frame(CLOSE, frame.payload))
        assert self.is_over(timeout_s), "something follows the close frame"
        return frame

    def is_over(self, timeout_s: float = 10) -> bool:
        """Return whether the server has closed the connection and nothing is left."""
        self.connection.settimeout(timeout_s)
        with suppress(EOFError):
            self._receive()
        return not self.received

    @property
    def is_cut(self) -> bool:
        """Return whether the server has let go, though nothing was read."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN | select.POLLRDHUP)
        found = dict(poll.poll(0)).get(self.connection.fileno(), 0)
        return bool(found & _GONE)

    def _take(self, number: int) -> bytes:
        while len(self.received) < number:
            self._receive()
        taken, self.received = self.received[:number], self.received[number:]
        return bytes(taken)

    def _receive(self) -> None:
        try:
            data = self.connection.recv(1 << 16)
        except ConnectionResetError:  # it closed with something of ours unread
            data = b""
        if not data:
            raise EOFError
        self.received += data


@contextmanager
def open_socket(port: int, receive_buffer: int = 0) -> Iterator[RawSocket]:
    """Return a websocket after the handshake; it is cut at the end."""
    raw = RawSocket.connect(port, receive_buffer)
    with raw.connection:
        raw.send(build_request(port))
        assert raw.read_response().status == 101
        yield raw


def wait_until_cut(sockets: Sequence[RawSocket], timeout_s: float) -> float:
    """Return after how many seconds the last one was let go; raises AssertionError."""
    began_s = time.monotonic()
    while left := sum(not one.is_cut for one in sockets):
        waited_s = time.monotonic() - began_s
        assert waited_s < timeout_s, f"{left} are open after {timeout_s:.0f} s"
        time.sleep(0.1)
    return time.monotonic() - began_s
