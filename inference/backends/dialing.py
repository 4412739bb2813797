"""Connects to the address that was checked, and to no other.

A name is resolved once for each connection and all of its addresses are judged; then
the socket is connected to one of these numbers. Were the name given to the socket
instead, it would be resolved again, and could mean the inside of our network by then
(DNS rebinding). TLS and the Host header still speak of the name.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import httpcore2

from inference.backends.endpoints import PrivateHosts, refuse
from inference.errors import Misconfigured

# (family, address as a socket takes it), in the order to try them
Resolved = Sequence[tuple[int, tuple[Any, ...]]]
Resolve = Callable[[str, int], Resolved]
Attach = Callable[[socket.socket], None]


def resolve(host: str, port: int) -> Resolved:
    """Return the addresses of a host, as the system resolves it; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, *_, address in found))


class Lookups:
    """Resolves names on threads of its own, as nothing else ends a system's resolver.

    One thread for a name at a time: who asks for it meanwhile waits for the same
    answer, so that a resolver that hangs keeps one thread, however many calls it fails.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[Resolved]] = {}

    def find(self, host: str, port: int, wait_s: float | None) -> Resolved:
        """Return the addresses of a host; raises OSError, TimeoutError among them."""
        with self._lock:
            found = self._running.get((host, port))
            if found is None:
                found = Future()
                threading.Thread(
                    target=self._run, args=(host, port, found),
                    name=f"resolve-{host}", daemon=True,
                ).start()  # fmt: skip
                self._running[host, port] = found
        return found.result(wait_s)

    def _run(self, host: str, port: int, found: Future[Resolved]) -> None:
        try:
            addresses = self._resolve(host, port)
        except Exception as error:  # whoever waits is to have it
            self._forget(host, port)
            found.set_exception(error)
        else:
            self._forget(host, port)
            found.set_result(addresses)

    def _forget(self, host: str, port: int) -> None:
        """Have the next call ask anew: what a name leads to is judged each time."""
        with self._lock:
            del self._running[host, port]


class Dialer(httpcore2.NetworkBackend):
    """Makes the connections of an HTTP client, by the rules of endpoints.py.

    `attach` is given each socket before it is connected and after, so that another
    thread can end the attempt by shutting it down; what it raises ends the attempt too.
    `timeout` holds for the resolver, all addresses and the TLS handshake together; an
    address that says nothing gets its share of it.
    """

    def __init__(
        self, private_hosts: PrivateHosts, attach: Attach, resolve: Resolve = resolve
    ) -> None:
        self._private_hosts = private_hosts
        self._attach = attach
        self._lookups = Lookups(resolve)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Return a connection to a checked address of a host; raises Misconfigured.

        Refused if any of the addresses is: a name of which some lead inside is not
        one to trust with the rest.
        """
        until_s = None if timeout is None else time.monotonic() + timeout
        with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            addresses = self._lookups.find(host, port, timeout)
            for _, address in addresses:
                number = ip_address(str(address[0]).partition("%")[0])
                if reason := refuse(number, host, port, self._private_hosts):
                    raise Misconfigured(reason)
            return _Stream(self._connect(addresses, until_s), until_s)

    def _connect(self, addresses: Resolved, until_s: float | None) -> socket.socket:
        failure: OSError = OSError("the name has no address")
        for number, (family, address) in enumerate(addresses):
            wait_s = _remaining(until_s)
            if wait_s is not None:
                wait_s /= len(addresses) - number
            try:
                return self._connect_to(family, address, wait_s)
            except OSError as error:
                failure = error
        raise failure

    def _connect_to(
        self, family: int, address: tuple[Any, ...], wait_s: float | None
    ) -> socket.socket:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._attach(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(wait_s)
            connection.connect(address)
            self._attach(connection)
        except BaseException:
            connection.close()
            raise
        return connection


class _Stream(httpcore2.NetworkStream):
    """A connected socket, plain or in TLS."""

    def __init__(self, connection: socket.socket, until_s: float | None) -> None:
        self._socket = connection
        self._until_s = until_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _translated(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._socket.settimeout(timeout)
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _translated(httpcore2.WriteTimeout, httpcore2.WriteError):
            self._socket.settimeout(timeout)
            self._socket.sendall(buffer)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        with _translated(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            try:
                self._socket.settimeout(_remaining(self._until_s))
                name = server_hostname and server_hostname.rstrip(".")
                secured = ssl_context.wrap_socket(self._socket, server_hostname=name)
            except BaseException:
                self._socket.close()
                raise
        return _Stream(secured, None)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        return self._socket if info == "socket" else None

    def close(self) -> None:
        self._socket.close()


def _remaining(until_s: float | None) -> float | None:
    """Return the seconds left, None for ever; raises TimeoutError when none are."""
    if until_s is None:
        return None
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the time to connect is over")
    return left_s


@contextmanager
def _translated(
    timeout: type[Exception], error: type[Exception]
) -> Generator[None, None, None]:
    """Raise what the layers above know in the place of what sockets raise."""
    try:
        yield
    except TimeoutError as foreign:
        raise timeout(str(foreign)) from foreign
    except (OSError, UnicodeError, ValueError) as foreign:
        raise error(str(foreign)) from foreign
