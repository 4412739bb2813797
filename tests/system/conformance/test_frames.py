"""Frames at the real widget's socket, by the sections of RFC 6455."""

import socket

import pytest

from tests.system.conformance.conftest import PING_FRAME, PONG_TEXT
from tests.system.conformance.raw_socket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    build_close,
    build_frame,
    open_socket,
)

PING_TEXT = b'{"type":"ping"}'
LIMIT = 131072

# what it is, the frames, the close code
VIOLATIONS = [
    ("a reserved bit (5.2)", 1002, [build_frame(TEXT, PING_TEXT, rsv=4)]),
    ("another reserved bit", 1002, [build_frame(TEXT, PING_TEXT, rsv=2)]),
    ("a third reserved bit", 1002, [build_frame(PING, rsv=1)]),
    ("no mask (5.1)", 1002, [build_frame(TEXT, PING_TEXT, mask=None)]),
    ("a ping without a mask", 1002, [build_frame(PING, mask=None)]),
    *[(f"opcode {n}", 1002, [build_frame(n)]) for n in (3, 4, 5, 6, 7, 11, 12, 15)],
    ("a part of nothing (5.4)", 1002, [build_frame(CONTINUATION, PING_TEXT)]),
    (
        "a message within a message",
        1002,
        [build_frame(TEXT, PING_TEXT, is_final=False), PING_FRAME],
    ),
    (
        "a part after the last",
        1002,
        [
            build_frame(TEXT, PING_TEXT[:4], is_final=False),
            build_frame(CONTINUATION, PING_TEXT[4:]),
            build_frame(CONTINUATION, b" "),
        ],
    ),
    ("a ping of 126 bytes (5.5)", 1002, [build_frame(PING, b"x" * 126)]),
    ("a close of 126 bytes", 1002, [build_close(1000, b"x" * 124)]),
    ("a ping in parts", 1002, [build_frame(PING, is_final=False)]),
    ("a close in parts", 1002, [build_frame(CLOSE, is_final=False)]),
    ("a close of one byte (5.5.1)", 1002, [build_frame(CLOSE, b"\x03")]),
    *[
        (f"close code {code} (7.4)", 1002, [build_close(code, b"bye")])
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535)
    ],
    ("a reason that is no text", 1007, [build_close(1000, b"\xff")]),
    ("no UTF-8 (8.1)", 1007, [build_frame(TEXT, b"\xff\xfe")]),
    ("half a character", 1007, [build_frame(TEXT, b"\xe2\x82")]),
    ("an overlong slash", 1007, [build_frame(TEXT, b"\xc0\xaf")]),
    ("a surrogate", 1007, [build_frame(TEXT, b"\xed\xa0\x80")]),
    ("beyond Unicode", 1007, [build_frame(TEXT, b"\xf4\x90\x80\x80")]),
    (
        "a character broken by the next part",
        1007,
        [
            build_frame(TEXT, b'{"\xc3', is_final=False),
            build_frame(CONTINUATION, b'\x28"}'),
        ],
    ),
    (
        "no UTF-8 in a part that is not the last",
        1007,
        [build_frame(TEXT, b'{"\xff', is_final=False)],
    ),
    ("a message too long (10.4)", 1009, [build_frame(TEXT, b"x" * (LIMIT + 1))]),
    ("a length of 2^63", 1009, [build_frame(TEXT, length=1 << 63, length_bytes=8)]),
    (
        "a message too long in parts",
        1009,
        [
            build_frame(TEXT, b"x" * LIMIT, is_final=False),
            build_frame(CONTINUATION, b"x"),
        ],
    ),
    ("noise", 1002, [b"\xff" * 1000]),
    ("HTTP", 1002, [b"GET / HTTP/1.1\r\n\r\n"]),
]


@pytest.mark.parametrize(
    ("code", "data"),
    [row[1:] for row in VIOLATIONS],
    ids=[row[0] for row in VIOLATIONS],
)
def test_a_violation_is_closed_with_its_code(raw, code, data):
    raw.send(*data)
    assert raw.read_close().code == code


def read_texts(raw, number):
    return [raw.read_frame().payload for _ in range(number)]


def test_a_message_may_come_in_parts_with_a_ping_between(raw):
    raw.send(
        build_frame(TEXT, PING_TEXT[:5], is_final=False),
        build_frame(CONTINUATION, b"", is_final=False),
        build_frame(PING, b"between"),
        build_frame(CONTINUATION, PING_TEXT[5:]),
    )
    assert raw.read_frame() == Frame(PONG, b"between")
    assert raw.read_frame() == Frame(TEXT, PONG_TEXT)


def test_a_character_may_be_cut_between_parts(raw):
    content = '{"type":"ping","x":"\u20ac\U0001f600"}'.encode()
    raw.send(build_frame(TEXT, content[:21], is_final=False))
    for number in content[21:-1]:
        raw.send(build_frame(CONTINUATION, bytes([number]), is_final=False))
    raw.send(build_frame(CONTINUATION, content[-1:]))
    assert raw.read_frame().payload == PONG_TEXT


@pytest.mark.parametrize("length_bytes", [2, 8])
def test_a_length_may_take_more_bytes_than_it_needs(raw, length_bytes):
    raw.send(build_frame(TEXT, PING_TEXT, length_bytes=length_bytes))
    assert raw.read_frame().payload == PONG_TEXT


def test_every_mask_is_taken_off(raw):
    masks = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x04\x08")
    raw.send(*[build_frame(TEXT, PING_TEXT, mask=mask) for mask in masks])
    assert read_texts(raw, 3) == [PONG_TEXT] * 3


def test_a_message_may_come_byte_by_byte(raw):
    raw.send_slowly(PING_FRAME + build_frame(PING, b"slow"))
    assert {raw.read_frame().payload, raw.read_frame().payload} == {PONG_TEXT, b"slow"}


def test_many_messages_in_one_packet_are_all_heard(raw):
    """More than wait at once: the rest is read when those are done."""
    raw.send(*[PING_FRAME] * 100)
    assert read_texts(raw, 100) == [PONG_TEXT] * 100


@pytest.mark.parametrize("length", [0, 1, 125])
def test_a_ping_is_answered_with_its_payload(raw, length):
    raw.send(build_frame(PING, b"\xff" * length))
    assert raw.read_frame() == Frame(PONG, b"\xff" * length)


def test_pings_are_answered_in_their_order(raw):
    raw.send(*[build_frame(PING, b"%d" % n) for n in range(20)])
    assert read_texts(raw, 20) == [b"%d" % n for n in range(20)]


def test_a_pong_that_nobody_asked_for_is_ignored(raw):
    raw.send(build_frame(PONG), build_frame(PONG, b"never asked"), PING_FRAME)
    assert raw.read_frame().payload == PONG_TEXT


# Sizes: the protocol's own limit is an error, the transport's the end


@pytest.mark.parametrize(
    ("length", "answer"),
    [(32768, b'"pong"'), (32769, b'"too_big"'), (LIMIT, b'"too_big"')],
)
def test_a_frame_up_to_the_limit_is_answered(raw, length, answer):
    raw.send(build_frame(TEXT, PING_TEXT.ljust(length)), PING_FRAME)
    assert answer in raw.read_frame().payload
    assert raw.read_frame().payload == PONG_TEXT


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_that_is_no_frame_of_the_protocol_is_an_error(raw, opcode):
    raw.send(build_frame(opcode, b""), build_frame(opcode, b"\x7f\0"), PING_FRAME)
    refused, also_refused, answered = read_texts(raw, 3)
    assert b'"bad_frame"' in refused
    assert b'"bad_frame"' in also_refused
    assert answered == PONG_TEXT


# The end


@pytest.mark.parametrize(
    "code",
    [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999],
)
def test_a_close_is_answered_with_its_code(raw, code):
    raw.send(build_close(code, "tsch\u00fcss".encode()))
    assert raw.read_close().code == code


def test_a_close_without_a_code_is_answered_without_one(raw):
    raw.send(build_frame(CLOSE))
    assert raw.read_close().payload == b""


def test_a_reason_may_have_123_bytes(raw):
    raw.send(build_close(1000, b"x" * 123))
    assert raw.read_close().payload == b"\x03\xe8" + b"x" * 123


def test_a_close_may_come_within_a_message(raw):
    raw.send(build_frame(TEXT, PING_TEXT[:5], is_final=False), build_close(1001))
    assert raw.read_close().code == 1001


def test_nothing_is_heard_after_a_close(raw):
    raw.send(build_close(1000), PING_FRAME, build_frame(PING), b"\xff" * 100)
    assert raw.read_frame().opcode == CLOSE
    assert raw.is_over()


def test_what_came_before_a_close_is_answered(raw):
    raw.send(*[PING_FRAME] * 3, build_close(1000))
    assert raw.read_close().code == 1000


def test_a_client_that_only_shuts_its_half_is_let_go(raw):
    raw.send(PING_FRAME)
    assert raw.read_frame().payload == PONG_TEXT
    raw.connection.shutdown(socket.SHUT_WR)
    assert raw.is_over()


@pytest.mark.parametrize("length", [1, 5, 8])
def test_a_client_that_leaves_within_a_frame_is_no_matter(raw, length):
    raw.send(PING_FRAME[:length])
    raw.connection.close()


def test_a_bad_client_does_not_disturb_its_neighbours(raw, port):
    with open_socket(port) as neighbour:
        raw.send(build_frame(TEXT, b"\xff"))
        assert raw.read_close().code == 1007
        neighbour.send(PING_FRAME)
        assert neighbour.read_frame().payload == PONG_TEXT
