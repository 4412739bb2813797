"""Connections of clients that take nothing, on uvicorn as it is configured."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from websockets.sync.client import connect

from chatbot import websocket
from tests.ports import free_port

TEXT = "x" * 20_000


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch):
    monkeypatch.setattr(websocket, "FAREWELL_S", 0.2)


@contextmanager
def serving(application, **options):
    """Run uvicorn in a thread; gives its port and the connections that it has."""
    port = free_port()
    config = uvicorn.Config(
        application, port=port, ws="chatbot.websocket:WebSocketProtocol",
        lifespan="off", log_level="critical", **options,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield port, server.server_state.connections
    finally:
        server.should_exit = True
        thread.join(10)


def wait_until(is_so) -> None:
    until_s = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@contextmanager
def deaf_client(port):
    """A client that has shaken hands and never reads again."""
    handshake = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(handshake.encode())
        yield client


async def send_much(scope, receive, send):
    """Send until the client takes no more for a while, then give up."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        try:
            async with asyncio.timeout(0.3):
                await send({"type": "websocket.send", "text": TEXT})
        except TimeoutError:
            return


async def send_some(scope, receive, send):
    """Send what fits into nobody's window, and wait for the goodbye."""
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(10):
        await send({"type": "websocket.send", "text": TEXT})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def test_a_client_that_was_given_up_is_cut():
    with serving(send_much) as (port, connections), deaf_client(port) as client:
        wait_until(lambda: len(connections) == 1)
        wait_until(lambda: len(connections) == 0)
        wait_until(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def test_a_client_that_answers_no_ping_is_cut():
    options = {"ws_ping_interval": 0.3, "ws_ping_timeout": 0.3}
    with serving(send_some, **options) as (port, connections), deaf_client(port):
        wait_until(lambda: len(connections) == 1)
        wait_until(lambda: len(connections) == 0)


def test_a_server_that_ends_does_not_wait_for_a_deaf_client():
    with serving(send_some) as (port, connections), deaf_client(port):
        wait_until(lambda: len(connections) == 1)
        time.sleep(0.2)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5


def test_a_client_that_reads_gets_everything_and_a_proper_close():
    async def say_goodbye(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(50):
            await send({"type": "websocket.send", "text": TEXT})
        await send({"type": "websocket.close", "code": 4408})

    with (
        serving(say_goodbye) as (port, _),
        connect(f"ws://127.0.0.1:{port}/", compression=None) as client,
    ):
        texts = [client.recv(10) for _ in range(50)]
        wait_until(lambda: client.close_code is not None)
        assert client.close_code == 4408
    assert texts == [TEXT] * 50
