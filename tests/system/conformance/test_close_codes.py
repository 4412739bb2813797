"""Close codes of the real server, as docs/protocol.md says whether to come back."""

import json
import signal

import pytest

from support.chat.frames import CloseCode
from tests.system.conformance.conftest import PING_FRAME
from tests.system.conformance.raw_socket import (
    PING,
    RawSocket,
    build_close,
    build_frame,
    build_hello,
    build_request,
    build_text,
    open_socket,
)
from tests.system.server import Server


@pytest.fixture
def token(server):
    return server.post("/widget/session", {"site": "demo"})["token"]


def test_another_protocol_version_is_sent_away(raw, token):
    raw.send(build_hello(token, protocol=2))
    assert raw.read_close().code == CloseCode.PROTOCOL


def test_a_wrong_token_is_sent_away(raw, token):
    raw.send(build_hello(token + "x"))
    assert raw.read_close().code == CloseCode.UNAUTHENTICATED


def test_a_token_of_nobody_is_sent_away(raw):
    raw.send(build_hello(""))
    assert raw.read_close().code == CloseCode.UNAUTHENTICATED


def test_a_frame_before_the_hello_is_sent_away(raw):
    raw.send(build_text(type="handoff"))
    assert raw.read_close().code == CloseCode.UNAUTHENTICATED


def test_who_says_nothing_is_sent_away_after_five_seconds(raw):
    raw.send(build_frame(PING), PING_FRAME)  # lives, but does not say who it is
    assert raw.read_close(20).code == CloseCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", None]
)
def test_another_origin_is_sent_away(port, token, origin):
    raw = RawSocket.connect(port)
    with raw.connection:
        raw.send(build_request(port, Origin=origin))
        assert raw.read_response().status == 101
        raw.send(build_hello(token))
        assert raw.read_close().code == CloseCode.ORIGIN


def test_one_tab_too_many_is_sent_away(port, token):
    sockets = [open_socket(port) for _ in range(9)]
    tabs = [socket.__enter__() for socket in sockets]
    for tab in tabs[:8]:
        tab.send(build_hello(token))
        assert b'"welcome"' in tab.read_frame().payload
    tabs[8].send(build_hello(token))
    assert tabs[8].read_close().code == CloseCode.TOO_MANY
    for socket in sockets:
        socket.__exit__(None, None, None)


def test_too_many_frames_are_refused_and_then_sent_away(raw):
    raw.send(*[PING_FRAME] * 120, PING_FRAME)
    for _ in range(120):
        assert raw.read_frame().payload == b'{"type":"pong"}'
    assert json.loads(raw.read_frame().payload)["code"] == "rate_limited"
    raw.send(*[PING_FRAME] * 30)
    assert raw.read_close().code == CloseCode.TOO_MANY


def test_what_is_said_behind_a_reason_to_close_is_not_heard(raw):
    raw.send(build_text(type="handoff"), *[PING_FRAME] * 50)
    assert raw.read_frame().code == CloseCode.UNAUTHENTICATED
    raw.send(build_close(1000))
    assert raw.is_over()


def test_sigterm_closes_with_a_restart(tmp_path, set_up_server):
    server = Server(tmp_path)
    server.set_up_like(set_up_server)
    server.use_scripts("say fine")
    server.start()
    try:
        with open_socket(server.port) as silent, open_socket(server.port) as greeted:
            greeted.send(
                build_hello(server.post("/widget/session", {"site": "demo"})["token"])
            )
            assert b'"welcome"' in greeted.read_frame().payload
            server.process.send_signal(signal.SIGTERM)
            assert [silent.read_close().code, greeted.read_close().code] == [1012, 1012]
        assert server.process.wait(20) in (0, -signal.SIGTERM)
    finally:
        server.kill()
    assert "Traceback" not in server.read_log()
