"""Handshakes at the real server: the right one, the wrong ones, the endless ones."""

import pytest

from tests.system.conformance.raw_socket import ACCEPT, KEY, RawSocket, build_request

WRONG = {
    "another version": (426, {"Sec_WebSocket_Version": "12"}),
    "no version": (426, {"Sec_WebSocket_Version": None}),
    "no key": (400, {"Sec_WebSocket_Key": None}),
    "a short key": (400, {"Sec_WebSocket_Key": "c2hvcnQ="}),
    "a key that is none": (400, {"Sec_WebSocket_Key": "!" * 24}),
    "a body": (400, {"Content_Length": "5"}),
    "a body in chunks": (400, {"Transfer_Encoding": "chunked"}),
    "a long header": (431, {"X_Long": "x" * 9000}),
    "a longer header": (431, {"X_Long": "x" * 60_000}),
    "too many headers": (431, {f"X-{n}": "1" for n in range(200)}),
    "a control character": (400, {"X_A": b"a\x0bb"}),
    "no upgrade": (404, {"Upgrade": None}),
    "an upgrade to something else": (404, {"Upgrade": "h2c"}),
    "no connection header": (404, {"Connection": None}),
}


def shake_hands(port, request):
    raw = RawSocket.connect(port)
    with raw.connection:
        raw.send(request)
        return raw.read_response()


def test_the_right_handshake_is_answered_as_the_standard_says(port):
    response = shake_hands(port, build_request(port))
    assert response.status == 101
    assert response.headers["upgrade"].lower() == "websocket"
    assert response.headers["connection"].lower() == "upgrade"
    assert response.headers["sec-websocket-accept"] == ACCEPT


def test_no_compression_is_agreed_on(port):
    offer = "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"
    response = shake_hands(port, build_request(port, Sec_WebSocket_Extensions=offer))
    assert response.status == 101
    assert "sec-websocket-extensions" not in response.headers


def test_no_subprotocol_is_agreed_on(port):
    """A client that needs one leaves by itself (RFC 6455, section 4.1)."""
    request = build_request(port, Sec_WebSocket_Protocol="soap, mqtt")
    response = shake_hands(port, request)
    assert response.status == 101
    assert "sec-websocket-protocol" not in response.headers


def test_the_server_does_not_say_what_it_is(port):
    assert "server" not in shake_hands(port, build_request(port)).headers


@pytest.mark.parametrize(("status", "changes"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_handshake_is_refused(port, status, changes):
    assert shake_hands(port, build_request(port, **changes)).status == status


def test_a_client_of_another_version_is_told_ours(port):
    request = build_request(port, Sec_WebSocket_Version="8")
    assert shake_hands(port, request).headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_only_get_opens_a_socket(port, method):
    assert shake_hands(port, build_request(port, method=method)).status == 405


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ws/elsewhere/", 404),
        ("/ws/chat", 404),
        ("/", 404),
        ("/ws/chat/%ff%00", 404),
        ("/ws/ch\u00e4t/", 400),
        ("/ws/" + "x" * 9000, 414),
        ("/ws/chat/?token=ignored", 101),
    ],
)
def test_there_is_one_address_for_sockets(port, path, status):
    assert shake_hands(port, build_request(port, path)).status == status


def test_two_keys_are_one_too_many(port):
    request = build_request(port).removesuffix(b"\r\n")
    request += b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n\r\n"
    assert shake_hands(port, request).status == 400


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\x00", b"\0" * 100, b"GET\r\n"]
)
def test_what_is_no_http_is_refused(port, data):
    assert shake_hands(port, data + b"\r\n\r\n").status == 400


def test_a_handshake_may_come_byte_by_byte(port):
    raw = RawSocket.connect(port)
    with raw.connection:
        raw.send_slowly(build_request(port))
        assert raw.read_response().status == 101


def test_a_client_that_leaves_in_its_handshake_is_no_matter(port):
    request = build_request(port)
    for length in (1, 20, len(request) - 2, len(request)):
        raw = RawSocket.connect(port)
        raw.send(request[:length])
        raw.connection.close()


def test_a_head_without_end_is_refused(port):
    raw = RawSocket.connect(port)
    with raw.connection:
        raw.send(b"GET / HTTP/1.1\r\nX-Long: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            raw.send(b"x" * 50_000_000)
