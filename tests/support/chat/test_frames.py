"""Frames that come in: the good ones parse, all others are refused alike."""

import json
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chat import frames
from tests.protocol import client_frame_errors

TURN = "01890000-0000-7000-8000-000000000001"

GOOD = [
    {"type": "hello", "protocol": 1, "token": "t", "last_seq": 0},
    {
        "type": "hello", "protocol": 1, "token": "t", "last_seq": 3,
        "turn": TURN, "attempt": 1, "offset": 12,
    },
    {"type": "token", "token": "t"},
    {"type": "send", "client_id": "abcdefgh", "content": "hi"},
    {"type": "stop", "turn": TURN, "attempt": 1},
    {"type": "rate", "message": TURN, "rating": -1},
    {"type": "handoff"},
    {"type": "history", "before_seq": 5},
    {"type": "ping"},
    {"type": "ping", "unknown": "fields are ignored"},
]  # fmt: skip

BAD = [
    "", "null", "[]", "1", '"ping"', "{", "{}", '{"type": null}', '{"type": []}',
    '{"type": {}}', '{"type": "PING"}', '{"type": "send"}', "NaN",
    '{"type": "send", "client_id": "short", "content": "x"}',
    '{"type": "send", "client_id": "with space", "content": "x"}',
    '{"type": "send", "client_id": "abcdefgh", "content": 1}',
    '{"type": "stop", "turn": "nonsense", "attempt": 1}',
    '{"type": "stop", "turn": "{01890000-0000-7000-8000-000000000001}", "attempt": 1}',
    '{"type": "stop", "turn": "01890000-0000-7000-8000-000000000001", "attempt": -1}',
    '{"type": "stop", "turn": "01890000-0000-7000-8000-000000000001", "attempt": true}',
    '{"type": "stop", "turn": "01890000-0000-7000-8000-000000000001", "attempt": 1.5}',
    '{"type": "history", "before_seq": 0}',
    '{"type": "history", "before_seq": 9223372036854775808}',
    '{"type": "rate", "message": "01890000-0000-7000-8000-000000000001", "rating": 2}',
    '{"type": "hello", "protocol": 1, "token": "t", "last_seq": Infinity}',
    "[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("frame", GOOD, ids=lambda frame: frame["type"])
def test_parses_what_the_protocol_allows(frame):
    assert client_frame_errors(frame) == []
    parsed = frames.parse_frame(json.dumps(frame))
    assert type(parsed).__name__.lower() == frame["type"]


def test_keeps_the_values():
    parsed = frames.parse_frame(json.dumps(GOOD[1]))
    assert parsed == frames.Hello(1, "t", 3, UUID(TURN), 1, 12)


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_refuses_everything_else(text):
    with pytest.raises(frames.BadFrame):
        frames.parse_frame(text)


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps)
)
def test_never_raises_anything_else(text):
    with suppress(frames.BadFrame):
        assert isinstance(frames.parse_frame(text), frames.ClientFrame)
