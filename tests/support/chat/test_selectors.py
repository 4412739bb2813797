"""What a widget is shown of a conversation that it did not see happen."""

from typing import Any

import pytest

from support.chat import selectors, turns
from support.models import TurnState
from tests.factories import make_conversation, make_turn

pytestmark = pytest.mark.django_db

OUTCOMES = [TurnState.ANSWERED, TurnState.STOPPED, TurnState.FAILED]


def make_reply(conversation, state=TurnState.ANSWERED):
    turn = make_turn(conversation)
    assert turns.finish(turn, turns.Reply(state, "as far as it got"))


@pytest.mark.parametrize("state", OUTCOMES)
def test_the_history_says_how_a_reply_ended(state):
    conversation = make_conversation()
    make_reply(conversation, state)
    frame: Any = selectors.history_frame(conversation.id, before_seq=3)
    assert [message["state"] for message in frame["messages"]] == [None, state]


@pytest.mark.parametrize("state", OUTCOMES)
def test_the_replay_says_how_a_reply_ended(state):
    conversation = make_conversation()
    make_reply(conversation, state)
    progress = selectors.read_progress(conversation.id, after_seq=1)
    done: Any = progress.frames[0]
    assert (done["type"], done["state"]) == ("done", state)
    assert done["message"]["state"] == done["state"]


@pytest.mark.parametrize("num_replies", [1, 8])
def test_a_replay_takes_four_queries(django_assert_num_queries, num_replies):
    conversation = make_conversation()
    for _ in range(num_replies):
        make_reply(conversation)
    with django_assert_num_queries(4):
        progress = selectors.read_progress(conversation.id, after_seq=0)
    assert len(progress.frames) == 2 * num_replies
