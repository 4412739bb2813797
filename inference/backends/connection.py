"""One connection for each call to a provider, which any thread can hang up.

The SDKs speak through an `httpx2` client, and a thread that reads from one cannot be
woken by closing the client or the response: only a socket that is shut down returns
from a blocking read. So each call has a `Line` that holds its socket.

Connections are not kept for the next call. Nothing retries here, and a kept
connection that the provider closes in that moment would fail the call; and a
stream that ends at `[DONE]` leaves its connection unusable anyway.
"""

import functools
import socket
import ssl
import threading
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx2

from inference.errors import InvalidResponse

# A token takes up to 400 bytes of a stream: room for 80,000 of them.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024

_SENT_HEADERS = frozenset({"host", "content-type", "content-length", "accept"})


class Line:
    """The connection of one call. Any thread may hang up, also before it stands.

    It keeps a handle of its own on the socket: TLS takes the first one over, and
    whoever closes that lets its number go to the next connection of another call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_hung_up = False

    @property
    def is_hung_up(self) -> bool:
        """Return whether somebody has hung up."""
        return self._is_hung_up

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take the socket as soon as it is connected; called by `httpcore2`."""
        if event == "connection.connect_tcp.complete":
            self.attach(info["return_value"].get_extra_info("socket"))

    def attach(self, connected: socket.socket) -> None:
        """Watch over a socket; shuts it down if somebody has hung up meanwhile."""
        handle = connected.dup()
        with self._lock:
            if not self._is_hung_up:
                self._socket = handle
                return
        _shut_down(handle)

    def hang_up(self) -> None:
        """End the connection and wake who reads from it. May be called twice.

        A connection that is still being made ends when it stands.
        """
        with self._lock:
            self._is_hung_up = True
            handle, self._socket = self._socket, None
        if handle is not None:
            _shut_down(handle)


@functools.cache
def _build_tls() -> ssl.SSLContext:
    """Return what all backends verify servers with; reading it takes 40 ms."""
    return httpx2.create_ssl_context(trust_env=False)


def _shut_down(handle: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        handle.shutdown(socket.SHUT_RDWR)
    handle.close()


class LineTransport(httpx2.HTTPTransport):
    """Sends requests over lines of their own and bounds what comes back.

    Only the headers that a call needs go out, with `headers` added: SDKs add what they
    find in the environment and describe the machine.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(
            verify=_build_tls(),
            trust_env=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )
        self._headers = {**headers, "connection": "close"}
        self._calling = threading.local()
        self._lock = threading.Lock()
        self._open: set[Line] = set()
        self._is_closed = False

    @contextmanager
    def open_line(self) -> Generator[Line, None, None]:
        """Lend a line to one call; it is hung up at the end."""
        line = Line()
        with self._lock:
            self._open.add(line)
            if self._is_closed:
                line.hang_up()
        try:
            yield line
        finally:
            line.hang_up()
            with self._lock:
                self._open.discard(line)

    @contextmanager
    def calling_on(self, line: Line) -> Generator[None, None, None]:
        """Send what this thread requests now over `line`."""
        self._calling.line = line
        try:
            yield
        finally:
            del self._calling.line

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; raises ConnectError on a line that was hung up.

        Raises InvalidResponse to a compressed answer: it could be a thousand times
        as large as what was received.
        """
        line: Line = self._calling.line
        if line.is_hung_up:
            raise httpx2.ConnectError("hung up before the call")
        request.extensions = {**request.extensions, "trace": line.trace}
        request.headers = httpx2.Headers(
            [*_pick(request.headers, _SENT_HEADERS), *self._headers.items()]
        )
        response = super().handle_request(request)
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            response.close()
            raise InvalidResponse(f"the answer is compressed: {encoding[:20]!r}")
        response.stream = _BoundedStream(response.stream)
        return response

    def close(self) -> None:
        """Hang up all lines."""
        with self._lock:
            self._is_closed = True
            lines = list(self._open)
        for line in lines:
            line.hang_up()
        super().close()


def _pick(headers: httpx2.Headers, names: Collection[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name in names]


class _BoundedStream(httpx2.SyncByteStream):
    """A response's bytes; raises InvalidResponse beyond `MAX_RESPONSE_BYTES`."""

    def __init__(self, stream: object) -> None:
        assert isinstance(stream, httpx2.SyncByteStream)
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        num_bytes = 0
        for chunk in self._stream:
            num_bytes += len(chunk)
            if num_bytes > MAX_RESPONSE_BYTES:
                raise InvalidResponse(f"more than {MAX_RESPONSE_BYTES} bytes came")
            yield chunk

    def close(self) -> None:
        self._stream.close()
