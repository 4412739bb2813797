"""Frames that no widget sends, over a real socket: an error each, and life goes on."""

import json

import pytest
from websockets.exceptions import ConnectionClosed

NOWHERE = "01890000-0000-7000-8000-000000000001"


def send_frame(**values) -> str:
    frame = {"type": "send", "client_id": "client-bad", "content": "x"}
    return json.dumps(frame | values)  # what is not ASCII becomes an escape


MALFORMED = {
    "nothing": "",
    "not JSON": "hello?",
    "half a frame": '{"type": "send", "client_id": "cli',
    "no object": '["send"]',
    "nested deeply": "[" * 30_000,
    "not a number": '{"type": "history", "before_seq": NaN}',
    "no type": "{}",
    "a type of another type": '{"type": {"type": "send"}}',
    "an unknown type": '{"type": "shutdown"}',
    "a text that is a list": send_frame(content=["x"]),
    "a text that is nothing": send_frame(content=None),
    "an id that is a number": send_frame(client_id=12345678),
    "an id that is a path": send_frame(client_id="../../../etc"),
    "a turn that is no id": '{"type": "stop", "turn": "latest", "attempt": 1}',
    "an attempt that is true": json.dumps(
        {"type": "stop", "turn": NOWHERE, "attempt": True}
    ),
    "a seq that is vast": '{"type": "history", "before_seq": 1' + "0" * 400 + "}",
    "a hello without a token": '{"type": "hello", "protocol": 1, "last_seq": 0}',
    "a naked NUL": send_frame(content="NUL").replace("NUL", "\0"),
    "an id with a NUL": send_frame(client_id="client-\0bad"),
    "a type with a NUL": '{"type": "ping\\u0000"}',
    "an id with a surrogate": send_frame(client_id="client-\ud800bad"),
    "a type that is a surrogate": '{"type": "\\udfff"}',
    "binary": b'{"type": "ping"}',
    "binary that is no text": b"\xff\xfe\x00\x80",
}


@pytest.fixture(scope="module")
def server(scripted_server):
    """One server for all tests of this file: it is meant to survive them."""
    yield scripted_server
    assert "Traceback" not in scripted_server.read_log()


@pytest.fixture
def one(visitor):
    one = visitor()
    one.receive_until("replay_done")
    return one


def is_answered(one) -> bool:
    one.ask("a fair question")
    return one.receive_until("done")["message"]["content"] == "fine"


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_is_refused(one, raw):
    one.socket.send(raw)
    error = one.receive()
    assert (error["type"], error["code"]) == ("error", "bad_frame")
    assert is_answered(one)


@pytest.mark.parametrize(
    "raw",
    [send_frame(content="x" * 70_000), "x" * 70_000, send_frame(content="é" * 11_600)],
    ids=["a long text", "no JSON", "escapes"],
)
def test_a_frame_of_70_kb_is_refused(one, raw):
    assert len(raw) > 69_000
    one.socket.send(raw)
    error = one.receive()
    assert (error["type"], error["code"]) == ("error", "too_big")
    assert is_answered(one)


def test_a_vast_frame_closes_only_its_own_socket(one, visitor):
    other = visitor()
    one.socket.send(send_frame(content="x" * 300_000))
    with pytest.raises(ConnectionClosed) as closed:
        one.receive()
    assert closed.value.rcvd.code == 1009
    assert is_answered(other)
    one.connect()
    assert is_answered(one)


@pytest.mark.parametrize("content", ["\0", "\ud800", " \0\udc00\n"])
def test_a_text_of_nothing_but_unfit_characters_is_empty(one, content):
    one.socket.send(send_frame(content=content))
    error = one.receive()
    assert (error["code"], error["client_id"]) == ("empty", "client-bad")
    assert is_answered(one)


def test_unfit_characters_are_left_out_of_a_text(one):
    one.socket.send(send_frame(content="Can\0 I\ud83d ask?"))
    one.receive_until("done")
    assert one.messages[1]["content"] == "Can I ask?"


def test_ids_of_another_conversation_are_not_found(one, visitor):
    other = visitor()
    other.ask("a private question")
    done = other.receive_until("done")
    one.send(type="stop", turn=done["turn"], attempt=1)
    assert one.receive()["code"] == "not_found"
    one.send(type="rate", message=done["message"]["id"], rating=-1)
    assert one.receive()["code"] == "not_found"
    assert is_answered(one)
    other.receive_all()
    assert {message["rating"] for message in other.messages.values()} == {0}


def test_a_running_reply_is_not_stopped_from_another_conversation(server, one, visitor):
    server.use_scripts('say "hello "\npause 0.5\nsay again', "say fine")
    other = visitor()
    other.ask("a private question")
    turn = other.receive_until("delta")["turn"]
    one.send(type="stop", turn=turn, attempt=1)
    assert one.receive()["code"] == "not_found"
    assert other.receive_until("done")["message"]["content"] == "hello again"
    assert is_answered(one)


def test_another_conversations_reply_is_not_seen_in_a_hello(one, visitor):
    other = visitor()
    other.ask("a private question")
    turn = other.receive_until("done")["turn"]
    one.shown[turn] = (1, "")
    one.connect()  # claims to show the other's reply
    one.receive_until("replay_done")
    assert one.messages == {}
    assert is_answered(one)
