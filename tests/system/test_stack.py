"""Web and workers as processes of their own, on a real Postgres and a real Redis."""

import pytest

from tests.system.server import Visitor
from tests.system.stack import WORDS, slow


@pytest.fixture(scope="module")
def stack(new_stack):
    """One web process and its workers for all tests of this file."""
    return new_stack(SOCKETS_PER_CONVERSATION="2")


@pytest.fixture
def server(stack):
    """Where visitors go."""
    return stack


def test_text_streams_from_one_process_to_another(stack, visitor):
    stack.use_scripts(slow(0.03))
    stack.start_with_worker()
    one = visitor()
    one.ask("count")
    assert one.receive_reply() == WORDS
    [views] = one.views.values()
    assert len(views) > 10
    assert {attempt for attempt, _ in views} == {1}
    one.check_views()


def test_two_web_processes_show_one_conversation_and_count_together(stack, visitor):
    stack.use_scripts(slow(0.02, "some words"))
    stack.start_with_worker()
    other = stack.second_web()
    other.start()
    try:
        one = visitor()
        tabs = [Visitor.__new__(Visitor) for _ in range(2)]
        for tab in tabs:
            tab.__dict__ |= one.__dict__ | {"server": other, "socket": None}
        second, third = tabs
        second.messages, second.shown, second.finals = {}, {}, {}
        second.connect()
        second.receive_until("replay_done")
        one.ask("count")
        assert one.receive_reply() == second.receive_reply() == "some words"
        third.connect()
        assert third.receive_close_code() == 4429
        second.disconnect()
    finally:
        other.kill()
