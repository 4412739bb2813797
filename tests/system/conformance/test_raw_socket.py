"""The hand-made client itself, by RFC 6455's examples and what it must notice."""

import socket

import pytest

from tests.system.conformance.raw_socket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    Response,
    apply_mask,
    build_close,
    build_frame,
    build_request,
)

# section 5.7
EXAMPLES = {
    "text": (build_frame(TEXT, b"Hello", mask=None), "81 05 48 65 6c 6c 6f"),
    "masked": (
        build_frame(TEXT, b"Hello"),
        "81 85 37 fa 21 3d 7f 9f 4d 51 58",
    ),
    "first part": (
        build_frame(TEXT, b"Hel", is_final=False, mask=None),
        "01 03 48 65 6c",
    ),
    "last part": (build_frame(CONTINUATION, b"lo", mask=None), "80 02 6c 6f"),
    "ping": (build_frame(PING, b"Hello", mask=None), "89 05 48 65 6c 6c 6f"),
    "pong": (build_frame(PONG, b"Hello"), "8a 85 37 fa 21 3d 7f 9f 4d 51 58"),
    "256 bytes": (build_frame(BINARY, b"\0" * 256, mask=None)[:4], "82 7e 01 00"),
    "64 KiB": (
        build_frame(BINARY, b"\0" * 65536, mask=None)[:10],
        "82 7f 00 00 00 00 00 01 00 00",
    ),
    "close": (build_close(1000), "88 82 37 fa 21 3d 34 12"),
    "reserved bits": (build_frame(TEXT, rsv=0b101, mask=None), "d1 00"),
    "a length in more bytes": (
        build_frame(TEXT, b"x", mask=None, length_bytes=2),
        "81 7e 00 01 78",
    ),
    "a lie": (
        build_frame(TEXT, b"x", mask=None, length=200),
        "81 7e 00 c8 78",
    ),
}


@pytest.fixture
def raw():
    """Return the client's end of a connection, and ours."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield RawSocket(theirs), ours


@pytest.mark.parametrize(("made", "right"), EXAMPLES.values(), ids=EXAMPLES.keys())
def test_frames_are_those_of_the_standard(made, right):
    assert made == bytes.fromhex(right)


@pytest.mark.parametrize("payload", [b"", b"H", b"Hello", b"\0\xff" * 500])
def test_a_mask_is_taken_off_as_it_is_put_on(payload):
    assert apply_mask(apply_mask(payload, MASK), MASK) == payload


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_reads_the_frames_that_it_builds(raw, length):
    client, server = raw
    frame = build_frame(TEXT, b"x" * length, mask=None, rsv=2, is_final=False)
    server.sendall(frame[:1])
    server.settimeout(10)
    client.send(b"between")  # the frame comes in pieces
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    server.sendall(frame[1:])
    assert client.read_frame() == Frame(TEXT, b"x" * length, is_final=False, rsv=2)


def test_reads_frames_that_came_together(raw):
    client, server = raw
    server.sendall(b"".join(build_frame(PONG, b"%d" % n, mask=None) for n in range(3)))
    assert [client.read_frame().payload for _ in range(3)] == [b"0", b"1", b"2"]


def test_tells_silence_from_the_end(raw):
    client, server = raw
    with pytest.raises(TimeoutError):
        client.read_frame(0.01)
    server.close()
    with pytest.raises(EOFError):
        client.read_frame()


def test_a_close_frame_is_found_behind_others(raw):
    client, server = raw
    server.sendall(
        build_frame(TEXT, b"last words", mask=None)
        + build_frame(CLOSE, b"\x0f\xa0bye", mask=None)
    )
    server.close()
    close = client.read_close()  # and answers one that is not there any more
    assert (close.code, close.payload[2:]) == (4000, b"bye")


def test_words_after_the_close_frame_are_noticed(raw):
    client, server = raw
    server.sendall(build_frame(CLOSE, mask=None) + build_frame(TEXT, b"x", mask=None))
    server.close()
    with pytest.raises(AssertionError, match="something follows"):
        client.read_close()


def test_a_masked_frame_of_a_server_is_noticed(raw):
    client, server = raw
    server.sendall(build_frame(TEXT, b"x"))
    with pytest.raises(AssertionError, match="masks nothing"):
        client.read_frame()


def test_a_handshake_can_be_made_wrong():
    request = build_request(80, "/x", Upgrade=None, Sec_WebSocket_Version="12", X_A="b")
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /x HTTP/1.1"
    assert {"Sec-WebSocket-Version: 12", "X-A: b"} <= set(lines)
    assert not [line for line in lines if line.startswith("Upgrade:")]
    assert lines[-2:] == ["", ""]


def test_reads_the_answer_to_a_handshake_and_no_further(raw):
    client, server = raw
    frame = build_frame(TEXT, b"x", mask=None)
    server.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n" + frame
    )
    assert client.read_response() == Response(101, {"upgrade": "websocket"})
    assert client.read_frame().payload == b"x"
