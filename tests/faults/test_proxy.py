"""Each fault of the proxy, seen by real clients of a real echo server."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import HOST, Direction, FaultProxy
from tests.ports import free_port

SILENCE_S = 0.3


class Echo(socketserver.BaseRequestHandler):
    """Sends everything back, and tells the server when a client has gone."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while received := self.request.recv(65536):
                self.request.sendall(received)
        assert isinstance(self.server, EchoServer)
        self.server.gone += 1


class EchoServer(socketserver.ThreadingTCPServer):
    """Serves echoes; `gone` counts the clients that it saw go."""

    daemon_threads = True
    request_queue_size = 128
    gone = 0


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer((HOST, 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(echo):
    with FaultProxy(echo.server_address[1]) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy):
    """Return a maker of clients of the proxy."""
    with contextlib.ExitStack() as clients:
        yield lambda: clients.enter_context(
            socket.create_connection((HOST, proxy.port), timeout=10)
        )


@pytest.fixture
def client(connect):
    """A client whose connection has carried something."""
    client = connect()
    assert ask(client, b"hello") == b"hello"
    return client


def ask(client: socket.socket, sent: bytes) -> bytes:
    client.sendall(sent)
    return receive(client, len(sent))


def receive(client: socket.socket, num_bytes: int) -> bytes:
    """Return what comes until it is so much, or until the end."""
    received = b""
    while len(received) < num_bytes and (piece := client.recv(65536)):
        received += piece
    return received


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE_S)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


def test_forwards_all_bytes_in_order(client):
    sent = bytes(range(256)) * 20_000
    threading.Thread(target=client.sendall, args=(sent,)).start()
    assert receive(client, len(sent)) == sent


def test_carries_many_connections_at_once(connect):
    clients = [connect() for _ in range(100)]
    for number, each in enumerate(clients):
        each.sendall(b"%3d" % number)
    received = [int(receive(each, 3)) for each in clients]
    assert received == list(range(100))


def test_passes_on_that_a_client_sends_no_more(client):
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 1000) == b"last words"


def test_forgets_connections_that_have_ended(echo, proxy, client):
    client.close()
    wait_until(lambda: proxy.num_connections == 0)
    assert echo.gone == 1


def wait_until(is_so, timeout_s: float = 10) -> None:
    until_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_a_frozen_proxy_forwards_nothing_until_it_is_thawed(proxy, client):
    proxy.freeze()
    client.sendall(b"held back")
    assert is_silent(client)
    proxy.thaw()
    assert receive(client, 9) == b"held back"


def test_a_frozen_proxy_accepts_and_does_not_answer(proxy, connect):
    proxy.freeze()
    client = connect()
    client.sendall(b"anybody?")
    assert is_silent(client)
    proxy.thaw()
    assert receive(client, 8) == b"anybody?"


def test_freezing_what_exists_leaves_new_connections_alone(proxy, client, connect):
    proxy.freeze_existing()
    client.sendall(b"lost")
    assert ask(connect(), b"new") == b"new"
    assert is_silent(client)


def test_the_target_does_not_see_a_client_of_a_frozen_connection_go(
    echo, proxy, client
):
    proxy.freeze_existing()
    client.close()
    time.sleep(SILENCE_S)
    assert echo.gone == 0
    proxy.thaw()
    wait_until(lambda: echo.gone == 1)


def test_refuses_new_connections_only(proxy, client, connect):
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect()
    assert ask(client, b"still here") == b"still here"
    proxy.admit()
    assert ask(connect(), b"back") == b"back"


def test_cuts_all_connections_and_lets_new_ones_in(echo, proxy, client, connect):
    second = connect()
    assert ask(second, b"two") == b"two"
    assert proxy.cut_all() == 2
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_until(lambda: echo.gone == 2)
    assert ask(connect(), b"new") == b"new"


@pytest.mark.parametrize("num_bytes", [1, 4, 10])
def test_cuts_after_bytes_to_the_client_once(proxy, client, connect, num_bytes):
    proxy.cut_after(num_bytes, Direction.TO_CLIENT)
    assert ask(client, b"0123456789" * 2) == (b"0123456789" * 2)[:num_bytes]
    assert ask(connect(), b"0123456789" * 2) == b"0123456789" * 2
    assert proxy.num_cuts == 1


def test_cuts_after_bytes_to_the_target(echo, proxy, client):
    before = proxy.num_bytes[Direction.TO_TARGET]
    proxy.cut_after(4, Direction.TO_TARGET)
    client.sendall(b"0123456789")
    with contextlib.suppress(ConnectionResetError):
        assert receive(client, 10) in (b"", b"0123")
    wait_until(lambda: echo.gone == 1)
    assert proxy.num_bytes[Direction.TO_TARGET] == before + 4


def test_counts_bytes_over_connections(proxy, client, connect):
    proxy.cut_after(8, Direction.TO_CLIENT)
    assert ask(client, b"12345") == b"12345"
    assert ask(connect(), b"12345") == b"123"
    assert ask(client, b"12345") == b"12345"


def test_delays_each_way_and_keeps_the_order(proxy, client):
    proxy.delay_s = 0.1
    started_s = time.monotonic()
    for number in range(10):
        client.sendall(b"%d" % number)
    assert receive(client, 10) == b"0123456789"
    assert time.monotonic() - started_s >= 0.2


def test_one_call_heals_everything(proxy, client, connect):
    proxy.freeze()
    proxy.refuse()
    proxy.delay_s = 60
    proxy.cut_after(1, Direction.TO_CLIENT)
    client.sendall(b"after")
    proxy.heal()
    assert receive(client, 5) == b"after"
    assert ask(connect(), b"new") == b"new"


def test_a_target_that_is_not_there_costs_the_connection(connect):
    with (
        FaultProxy(free_port()) as proxy,
        contextlib.suppress(ConnectionResetError),
        socket.create_connection((HOST, proxy.port), timeout=10) as client,
    ):
        assert client.recv(1) == b""


def test_balances_between_the_targets_that_are_there(echo):
    with FaultProxy(free_port(), echo.server_address[1], free_port()) as proxy:
        for _ in range(4):
            with socket.create_connection((HOST, proxy.port), timeout=10) as client:
                assert ask(client, b"hello") == b"hello"


def test_ends_with_frozen_connections(echo):
    with FaultProxy(echo.server_address[1]) as proxy:
        client = socket.create_connection((HOST, proxy.port), timeout=10)
        assert ask(client, b"hello") == b"hello"
        proxy.freeze()
    with client, pytest.raises(ConnectionResetError):
        client.recv(1)
