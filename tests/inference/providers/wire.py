"""HTTP/1.1 on a plain socket, as far as the stand-in needs it.

No server of a library: what it is here for is to break the protocol on purpose.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ssl import SSLContext, SSLError
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024

_TLS_GREETING = b"\x16"


class Gone(Exception):  # noqa: N818 - it says what happened
    """The client has hung up, or never said anything."""


@dataclass
class Request:
    """One request as it arrived; `text` is the body before it was read as JSON.

    `target` is the path as it was sent, with the query.
    """

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    text: bytes = field(repr=False)

    @property
    def is_last(self) -> bool:
        """Return whether the client wants no further answer on this connection."""
        return self.headers.get("connection", "").lower() == "close"

    def read_json(self) -> object:
        """Return the body's value; raises ValueError, also for invalid UTF-8."""
        return json.loads(self.text)


class Connection:
    """One client's socket. Raises Gone as soon as it is noticed that it has left."""

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream
        self._received = b""

    def read_request(self) -> Request:
        """Return the next request; raises Gone for the end and for what is none."""
        head = self._take_until(b"\r\n\r\n")
        try:
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            pairs = [line.split(":", 1) for line in lines]
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            num_bytes = int(headers.get("content-length", 0))
        except ValueError:
            raise Gone from None
        if num_bytes > MAX_BODY_BYTES:
            raise Gone
        body = self._take(num_bytes)
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Request(method, target, unquote(parts.path), query, headers, body)

    def send(self, data: bytes) -> None:
        """Send all of it; raises Gone if the client hung up before."""
        if self.is_left():
            raise Gone
        try:
            self._socket.sendall(data)
        except OSError:
            raise Gone from None

    def is_left(self) -> bool:
        """Return whether the client has hung up; does not wait."""
        try:
            self._socket.settimeout(0)
            more = self._socket.recv(65536)
        except (BlockingIOError, TimeoutError, SSLError):
            return False
        except OSError:
            return True
        finally:
            with suppress(OSError):
                self._socket.settimeout(None)
        self._received += more
        return not more

    def wait_until_left(self, timeout_s: float) -> bool:
        """Wait for the client to hang up; return whether it did within the time."""
        if timeout_s <= 0:
            return False
        try:
            self._socket.settimeout(timeout_s)
            more = self._socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            with suppress(OSError):
                self._socket.settimeout(None)
        self._received += more
        return not more

    def reset(self) -> None:
        """Drop the connection with a TCP reset, which loses what is under way."""
        linger = struct.pack("ii", 1, 0)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def _take_until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            if len(self._received) > MAX_HEAD_BYTES:
                raise Gone
            self._receive()
            if self._received.startswith(_TLS_GREETING):
                # what a server of plain HTTP says to a client that speaks TLS
                self.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
                raise Gone
        taken, _, self._received = self._received.partition(mark)
        return taken

    def _take(self, num_bytes: int) -> bytes:
        while len(self._received) < num_bytes:
            self._receive()
        taken = self._received[:num_bytes]
        self._received = self._received[num_bytes:]
        return taken

    def _receive(self) -> None:
        try:
            more = self._socket.recv(65536)
        except OSError:
            raise Gone from None
        if not more:
            raise Gone
        self._received += more


class Listener:
    """Accepts on 127.0.0.1, each connection in a thread of its own, until closed."""

    def __init__(
        self,
        serve: Callable[[Connection], None],
        port: int = 0,
        tls: SSLContext | None = None,
    ) -> None:
        self._serve = serve
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Hang up everybody and refuse whoever comes; may be called twice.

        Returns when all is noted that there is to be noted of them.
        """
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        with self._lock:
            still_open = dict(self._open)
        for stream in still_open.values():
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in still_open:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                thread = threading.Thread(
                    target=self._converse, args=[stream], daemon=True
                )
                with self._lock:
                    self._open[thread] = stream
                thread.start()

    def _converse(self, stream: socket.socket) -> None:
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                stream = self._secure(stream, self._tls)
            with suppress(Gone):
                self._serve(Connection(stream))
        except OSError:
            pass  # a client that refuses our certificate, or that left
        finally:
            with self._lock:
                self._open.pop(threading.current_thread(), None)
            stream.close()

    def _secure(self, stream: socket.socket, tls: SSLContext) -> socket.socket:
        """Return the connection in TLS; who is silent is not waited for long."""
        stream.settimeout(5)
        secured = tls.wrap_socket(stream, server_side=True)
        secured.settimeout(None)
        with self._lock:
            self._open[threading.current_thread()] = secured
        return secured
