"""One connection for each call to a provider, which any thread can hang up.

The SDKs speak through an `httpx2` client, and a thread that reads from one cannot be
woken by closing the client or the response: only a socket that is shut down returns
from a blocking read. So each call has a `Line` that holds its socket.

Connections are not kept for the next call. Nothing retries here, and a kept
connection that the provider closes in that moment would fail the call; and a
stream that ends at its last event leaves its connection unusable anyway.
"""

import functools
import socket
import ssl
import threading
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress

import httpcore2
import httpx2

from inference.backends.dialing import Dialer, Resolve, resolve
from inference.backends.endpoints import PrivateHosts, find_port
from inference.errors import InvalidResponse, Misconfigured

# A token takes up to 400 bytes of a stream: room for 80,000 of them.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
# No event of a stream, and no error, is as long. SDKs put one together piece by piece
# and copy it for each: one that did not end took 2.8 s of CPU until the bound above.
MAX_EVENT_BYTES = 1024 * 1024

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_SENT_HEADERS = frozenset({"host", "content-type", "content-length", "accept"})


class Line:
    """The connection of one call. Any thread may hang up, also before it stands.

    It keeps a handle of its own on the socket: TLS takes the first one over, and
    whoever closes that lets its number go to the next connection of another call.
    `timeout` bounds its single waits. `response` is what came of the call, None until
    its head is here; `is_read` says that all of it was received.
    """

    def __init__(self, timeout: httpx2.Timeout) -> None:
        self.timeout = timeout
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._is_hung_up = False
        self.response: httpx2.Response | None = None
        self.is_read = False

    @property
    def is_hung_up(self) -> bool:
        """Return whether somebody has hung up."""
        return self._is_hung_up

    @property
    def is_accepted(self) -> bool:
        """Return whether the other side has said that it answers."""
        return self.response is not None and self.response.is_success

    @property
    def is_refused(self) -> bool:
        """Return whether the other side has said that it does not answer."""
        return self.response is not None and not self.response.is_success

    def attach(self, connection: socket.socket) -> None:
        """Watch over a socket in the place of the one before.

        To be called before it is connected, which a shut-down ends, and again when it
        is: between the two calls a shut-down is lost. Raises ConnectionAbortedError if
        somebody has hung up meanwhile.
        """
        handle = connection.dup()
        with self._lock:
            self._handle, former = handle, self._handle
            is_late = self._is_hung_up
        if former is not None:
            former.close()
        if is_late:
            self.hang_up()
            raise ConnectionAbortedError("hung up before the call")

    def hang_up(self) -> None:
        """End the connection and wake who waits for it. May be called twice."""
        with self._lock:
            self._is_hung_up = True
            handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):  # the other side was faster
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()


@functools.cache
def build_tls() -> ssl.SSLContext:
    """Return what all backends verify servers with; reading it takes 40 ms."""
    return httpx2.create_ssl_context(trust_env=False)


class LineTransport(httpx2.HTTPTransport):
    """Sends requests over lines of their own and bounds what comes back.

    Only the headers that a call needs go out, with `headers` added: SDKs add what they
    find in the environment and describe the machine. Nothing goes to an address that
    endpoints.py refuses.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        private_hosts: PrivateHosts | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        super().__init__(verify=build_tls(), trust_env=False)
        self._private_hosts = private_hosts or PrivateHosts()
        # httpx2 has no word of its own for who connects
        self._pool = httpcore2.ConnectionPool(
            ssl_context=build_tls(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=Dialer(self._private_hosts, self._attach, resolve),
        )
        self._headers = {
            **headers,
            "accept-encoding": "identity",
            "connection": "close",
        }
        self._calling = threading.local()
        self._lock = threading.Lock()
        self._open: set[Line] = set()
        self._is_closed = False

    @contextmanager
    def open_line(self, timeout: httpx2.Timeout) -> Generator[Line, None, None]:
        """Lend a line to one call; it is hung up at the end and its answer dropped."""
        line = Line(timeout)
        with self._lock:
            self._open.add(line)
            if self._is_closed:
                line.hang_up()
        try:
            yield line
        finally:
            line.hang_up()
            if line.response is not None:
                line.response.close()  # not every SDK does, and the pool would keep it
            with self._lock:
                self._open.discard(line)

    @contextmanager
    def calling_on(self, line: Line) -> Generator[None, None, None]:
        """Send what this thread requests now over `line`, which is one request."""
        self._calling.line = line
        try:
            yield
        finally:
            self._calling.line = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; raises ConnectError on a line that was hung up.

        Raises Misconfigured for a plain connection to where TLS is needed, and
        InvalidResponse to a compressed answer, which could be a thousand times as large
        as what was received, and to one that is no stream though it was accepted.
        """
        line: Line | None = getattr(self._calling, "line", None)
        if line is None or line.response is not None:
            raise RuntimeError("an SDK made a request of its own")
        if line.is_hung_up:
            raise httpx2.ConnectError("hung up before the call")
        self._check_scheme(request.url)
        # each SDK has a default of minutes, and not each takes more than one number
        request.extensions = {**request.extensions, "timeout": line.timeout.as_dict()}
        request.headers = httpx2.Headers(
            [*_pick(request.headers, _SENT_HEADERS), *self._headers.items()]
        )
        line.response = response = super().handle_request(request)
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise InvalidResponse(f"the answer is compressed: {encoding[:20]!r}")
        if response.is_success:
            _check_content_type(response.headers)
        response.stream = _BoundedStream(response.stream, line)
        return response

    def close(self) -> None:
        """Hang up all lines."""
        with self._lock:
            self._is_closed = True
            lines = list(self._open)
        for line in lines:
            line.hang_up()
        super().close()

    def _attach(self, connection: socket.socket) -> None:
        """Let the line of this thread's call watch over its socket."""
        line: Line = self._calling.line
        line.attach(connection)

    def _check_scheme(self, url: httpx2.URL) -> None:
        host = url.raw_host.decode("ascii")
        if url.scheme != "https" and not self._private_hosts.holds(
            host, find_port(url)
        ):
            raise Misconfigured(f"{host} may be asked by https:// only")


def _check_content_type(headers: httpx2.Headers) -> None:
    content_type = headers.get("content-type", "text/event-stream")
    if not content_type.lower().startswith("text/event-stream"):
        raise InvalidResponse(
            f"the answer is no event stream but {content_type[:60]!r}; "
            "is the endpoint right?"
        )


def _pick(headers: httpx2.Headers, names: Collection[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name in names]


class _BoundedStream(httpx2.SyncByteStream):
    """A response's bytes; raises InvalidResponse if all or one event are too many."""

    def __init__(self, stream: object, line: Line) -> None:
        assert isinstance(stream, httpx2.SyncByteStream)
        self._stream = stream
        self._line = line

    def __iter__(self) -> Iterator[bytes]:
        num_bytes = num_event_bytes = 0
        tail = b""
        for chunk in self._stream:
            num_bytes += len(chunk)
            if num_bytes > MAX_RESPONSE_BYTES:
                raise InvalidResponse(f"more than {MAX_RESPONSE_BYTES} bytes came")
            recent = tail + chunk
            end = max(recent.rfind(mark) for mark in _EVENT_ENDS)
            num_event_bytes = (
                num_event_bytes + len(chunk) if end < 0 else len(recent) - end
            )
            if num_event_bytes > MAX_EVENT_BYTES:
                raise InvalidResponse(f"an event of over {MAX_EVENT_BYTES} bytes came")
            tail = recent[-3:]
            yield chunk
        self._line.is_read = True

    def close(self) -> None:
        self._stream.close()
