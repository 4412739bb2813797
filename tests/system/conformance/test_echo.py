"""An echo on the web process's options: pings, room for messages, late heads."""

import time

import pytest

from chatbot import http_reading
from chatbot.serving import WS_MAX_QUEUE
from tests.system.conformance.echo import EchoServer
from tests.system.conformance.raw_socket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    build_frame,
    build_request,
    open_socket,
)


@pytest.fixture
def eager_echo(settings):
    """An echo that pings every half second."""
    settings.WS_PING_S = 0.5
    with EchoServer() as server:
        yield server


@pytest.fixture
def hasty_echo(monkeypatch):
    """An echo that waits half a second for the head of a request."""
    monkeypatch.setattr(http_reading, "HEAD_S", 0.5)
    with EchoServer() as server:
        yield server


def wait_for(condition, timeout_s: float = 10) -> bool:
    until_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.01)
    return condition()


def send_until(raw, condition) -> int:
    """Send messages that come back, until something is so; return how many."""
    for number in range(1, 1000):
        raw.send(build_frame(BINARY, b"x" * 20_000))
        if wait_for(condition, 0.02):
            return number
    raise AssertionError("never")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536, 131072])
def test_messages_of_all_lengths_come_back(echo, opcode, length):
    with open_socket(echo.port) as raw:
        raw.send(build_frame(opcode, b"x" * length))
        assert raw.read_frame() == Frame(opcode, b"x" * length)


# Pings


def test_a_client_that_answers_pings_stays(eager_echo):
    with open_socket(eager_echo.port) as raw:
        for _ in range(3):  # longer than a silent one stays
            ping = raw.read_frame()
            assert ping.opcode == PING
            raw.send(build_frame(PONG, ping.payload))
        raw.send(build_frame(TEXT, b"still here"))
        assert raw.read_frame().payload == b"still here"


def test_a_client_that_answers_no_ping_is_closed(eager_echo):
    with open_socket(eager_echo.port) as raw:
        assert raw.read_frame().opcode == PING
        close = raw.read_close()
    assert (close.opcode, close.code) == (CLOSE, 1011)


def test_another_pong_is_no_answer(eager_echo):
    with open_socket(eager_echo.port) as raw:
        assert raw.read_frame().opcode == PING
        raw.send(build_frame(PONG, b"wrong"), build_frame(PONG))
        assert raw.read_close().code == 1011


def test_frames_that_are_no_message_count_anew_after_each_ping(eager_echo):
    with open_socket(eager_echo.port) as raw:
        for _ in range(3):
            raw.send(*[build_frame(PONG)] * 600)
            ping = raw.read_frame()
            raw.send(build_frame(PONG, ping.payload))
        raw.send(build_frame(TEXT, b"still here"))
        assert raw.read_frame().payload == b"still here"


# Room


def test_little_waits_for_an_application_that_is_busy(echo):
    message = build_frame(TEXT, b"x")
    with open_socket(echo.port) as raw:
        echo.hold()
        raw.connection.settimeout(0.3)
        with pytest.raises(TimeoutError):  # nobody reads any more
            raw.connection.sendall(message * 5_000_000)
        [connection] = echo.connections
        assert wait_for(lambda: connection.queue.qsize() >= WS_MAX_QUEUE)
        assert connection.queue.qsize() < 1000
        assert len(connection._unread) < 300_000


def test_what_had_to_wait_is_heard_in_its_order(echo):
    texts = [b"%d" % number for number in range(2000)]
    with open_socket(echo.port) as raw:
        echo.hold()
        raw.send(*[build_frame(TEXT, text) for text in texts])
        echo.let_go()
        assert [raw.read_frame().payload for _ in texts] == texts


def test_pings_wait_while_their_pongs_are_not_taken(echo):
    with open_socket(echo.port, receive_buffer=4096) as raw:
        [connection] = echo.connections
        send_until(raw, lambda: not connection.writable.is_set())
        filled = connection.transport.get_write_buffer_size()
        raw.send(*[build_frame(PING, b"x" * 125)] * 900)
        time.sleep(0.2)
        assert connection.transport.get_write_buffer_size() == filled


def test_reading_goes_on_when_the_client_reads_again(echo):
    with open_socket(echo.port, receive_buffer=4096) as raw:
        [connection] = echo.connections
        number = send_until(raw, lambda: not connection.writable.is_set())
        raw.send(build_frame(TEXT, b"last"))
        echoes = [raw.read_frame() for _ in range(number + 1)]
    assert echoes[-1].payload == b"last"


def test_an_answer_to_one_who_broke_the_rules_is_not_sent(echo, caplog):
    """The connection lives on for what it has not read; the application knows not."""
    with open_socket(echo.port, receive_buffer=4096) as raw:
        [connection] = echo.connections
        send_until(raw, connection.transport.get_write_buffer_size)
        assert connection.writable.is_set()
        echo.hold()
        heard, held = b"heard at once", b"x" * 5000  # more than is parsed at once
        texts = (heard, held, b"\xff")
        raw.send(*[build_frame(TEXT, text) for text in texts])
        assert wait_for(lambda: connection.close_sent)
        echo.let_go()
        assert wait_for(lambda: not echo.connections)
    assert caplog.records == []


# The head of a request


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nX-A: b\r\n"])
def test_a_head_that_is_late_is_refused(hasty_echo, sent):
    raw = RawSocket.connect(hasty_echo.port)
    with raw.connection:
        raw.send(sent)
        assert raw.read_response().status == 408
        assert raw.is_over()


def test_a_connection_that_says_nothing_is_closed(hasty_echo):
    raw = RawSocket.connect(hasty_echo.port)
    with raw.connection:
        assert raw.is_over()


def test_a_late_head_of_a_second_request_is_refused_too(hasty_echo):
    raw = RawSocket.connect(hasty_echo.port)
    with raw.connection:
        raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.read_response().status == 204
        raw.send(b"GET / HT")
        assert raw.read_response().status == 408


def test_an_open_socket_is_not_taken_for_a_late_head(hasty_echo):
    with open_socket(hasty_echo.port) as raw:
        time.sleep(0.8)
        raw.send(build_frame(TEXT, b"still here"))
        assert raw.read_frame().payload == b"still here"


def test_a_slow_body_is_no_late_head(hasty_echo):
    raw = RawSocket.connect(hasty_echo.port)
    with raw.connection:
        raw.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert raw.read_response().status == 204
        raw.send(b"x" * 99_999)  # more than a head may have
        time.sleep(0.8)
        raw.send(b"x" + build_request(hasty_echo.port))
        assert raw.read_response().status == 101
