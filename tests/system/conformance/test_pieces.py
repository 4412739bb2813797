"""However messages are cut into frames and frames into packets: the same is heard."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.system.conformance.echo import EchoServer
from tests.system.conformance.raw_socket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    build_frame,
    open_socket,
)

TEXTS = st.text(max_size=200).map(lambda text: (TEXT, text.encode()))
BYTES = st.binary(max_size=6000).map(lambda data: (BINARY, data))
PINGS = st.binary(max_size=125).map(lambda data: (PING, data))
SAID = st.lists(st.one_of(TEXTS, BYTES, PINGS), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def echo():
    with EchoServer() as server:
        yield server


def cut(payload: bytes, places: list[int]) -> list[bytes]:
    """Return the payload in pieces, some of which may be empty."""
    ends = [0, *sorted(place % (len(payload) + 1) for place in places), len(payload)]
    return [payload[a:b] for a, b in itertools.pairwise(ends)]


def build_message(opcode: int, pieces: list[bytes]) -> bytes:
    """Return a message in as many frames, with a pong between two."""
    frames = [
        build_frame(CONTINUATION if number else opcode, piece, is_final=False)
        for number, piece in enumerate(pieces[:-1])
    ]
    last = build_frame(CONTINUATION if frames else opcode, pieces[-1])
    return build_frame(PONG).join([*frames, last])


@settings(max_examples=20, deadline=None)
@given(SAID, st.data())
def test_what_is_heard_does_not_depend_on_the_pieces(echo, said, data):
    places = st.lists(st.integers(0, 1 << 20), max_size=5)
    stream = b"".join(
        build_frame(PING, payload)
        if opcode == PING
        else build_message(opcode, cut(payload, data.draw(places)))
        for opcode, payload in said
    )
    with open_socket(echo.port) as raw:
        for packet in cut(stream, data.draw(places)):
            raw.send(packet)
        heard = [raw.read_frame() for _ in said]
    answers = [(frame.opcode, frame.payload) for frame in heard]
    echoes = [answer for answer in answers if answer[0] != PONG]
    assert echoes == [one for one in said if one[0] != PING]
    pongs = [payload for opcode, payload in answers if opcode == PONG]
    assert pongs == [payload for opcode, payload in said if opcode == PING]
