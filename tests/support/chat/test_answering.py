"""From a claimed turn to its one outcome, on scripted backends."""

import threading

import pytest

from support.chat import answering, ladder, prompts, turns
from support.chat.watch import watch
from support.models import Attempt, Message, Notice, SystemPrompt, Turn, TurnState
from tests.factories import contents, make_backend, make_conversation, make_turn

pytestmark = pytest.mark.django_db(transaction=True)


def produce(turn):
    answering.produce(turn.id)
    return Turn.objects.get(pk=turn.pk)


def test_stores_the_reply():
    make_backend("say Yes.")
    turn = produce(make_turn(content="Is it?"))
    assert turn.state == TurnState.ANSWERED
    assert contents(turn.conversation) == [
        (1, "user", "Is it?"),
        (2, "assistant", "Yes."),
    ]


def test_remembers_the_prompts_version():
    make_backend("say Yes.")
    turn = produce(make_turn())
    assert turn.prompt == SystemPrompt.objects.get()


def test_a_failure_before_the_first_delta_moves_on_unseen():
    make_backend("fail Unavailable", name="a")
    make_backend("say from b", name="b", position=20)
    turn = produce(make_turn())
    assert (turn.reply.content, turn.attempt) == ("from b", 1)


def test_a_later_failure_begins_a_new_attempt():
    make_backend("say half\nfail InvalidResponse", name="a")
    make_backend("say from b", name="b", position=20)
    turn = produce(make_turn())
    assert (turn.reply.content, turn.attempt) == ("from b", 2)


def test_no_backend_left_is_an_apology():
    make_backend("fail Overloaded")
    turn = produce(make_turn())
    assert turn.state == TurnState.FAILED
    assert turn.reply.content == ladder.APOLOGY
    assert "Overloaded" in turn.failure


def test_no_backend_at_all_is_an_apology():
    assert produce(make_turn()).state == TurnState.FAILED


def test_an_invented_number_is_taken_back():
    make_backend('say "It costs 49.95 dollars."')
    turn = produce(make_turn(content="What does it cost?"))
    assert (turn.reply.content, turn.attempt) == (answering.UNSURE, 2)


def test_an_invented_statement_is_taken_back():
    make_backend('say "Our tents are made of recycled nylon."')
    turn = produce(make_turn(content="What are the tents made of?"))
    assert (turn.reply.content, turn.attempt) == (answering.UNSURE, 2)
    assert turn.reply.notice == Notice.REPLY_UNSURE


def test_a_question_without_an_answer_stays_in_the_history():
    make_backend('say "Our tents are made of recycled nylon."')
    conversation = make_conversation()
    produce(make_turn(conversation, "What are the tents made of?"))
    turn = Turn.objects.select_related("question").get(
        pk=make_turn(conversation, "And the poles?").pk
    )
    assert [message.content for message in prompts.read_history(turn)] == [
        "What are the tents made of?", answering.UNSURE,
    ]  # fmt: skip


def test_small_talk_needs_no_passage():
    make_backend('say "Hello! I am here and happy to help."')
    turn = produce(make_turn(content="Good morning"))
    assert turn.reply.content == "Hello! I am here and happy to help."


def test_an_empty_reply_is_taken_back():
    make_backend("finish stop")
    assert produce(make_turn()).reply.content == answering.UNSURE


def test_every_call_is_in_the_ledger_once():
    make_backend("fail Overloaded", name="a")
    make_backend("say half\nfail InvalidResponse", name="b", position=20)
    make_backend("say whole answer", name="c", position=30)
    produce(make_turn())
    booked = Attempt.objects.values_list("number", "backend", "outcome", "error")
    assert list(booked) == [
        (1, "a", "failed", "Overloaded"),
        (2, "b", "failed", "InvalidResponse"),
        (3, "c", "completed", ""),
    ]


def test_the_ledger_keeps_tokens_and_times():
    make_backend("say two words")
    produce(make_turn())
    attempt = Attempt.objects.get()
    assert attempt.completion_tokens == 2
    assert attempt.prompt_tokens > 0
    assert 0 <= attempt.ttft_ms <= attempt.duration_ms
    assert attempt.queue_ms >= 0


def test_the_next_question_is_named():
    make_backend()
    conversation = make_conversation()
    first, second = make_turn(conversation), make_turn(conversation)
    assert answering.produce(first.id) == second.id
    assert answering.produce(second.id) is None


def test_a_finished_turn_is_left_alone():
    make_backend("say once")
    turn = produce(make_turn())
    produce(turn)
    assert Message.objects.count() == 2


def test_a_wrong_backend_row_is_left_out():
    make_backend("nonsense", name="wrong")
    make_backend("say fine", name="right", position=20)
    assert produce(make_turn()).reply.content == "fine"


def test_an_unexpected_error_releases_the_turn(settings):
    settings.REPLY_MAX_TOKENS = 0
    make_backend()
    turn = make_turn()
    with pytest.raises(ValueError, match="max_tokens"):
        answering.produce(turn.id)
    assert Turn.objects.get(pk=turn.pk).state == TurnState.QUEUED


def test_a_switched_backend_answers_the_next_question():
    conversation = make_conversation()
    row = make_backend("say old")
    assert produce(make_turn(conversation)).reply.content == "old"
    row.options = {"scripts": ["say new"]}
    row.save()
    assert produce(make_turn(conversation)).reply.content == "new"


def test_a_leaving_process_hands_its_turn_over():
    make_backend("say half\nhang")
    turn = make_turn()
    leave = threading.Timer(0.5, watch.leave)
    leave.start()
    answering.produce(turn.id)
    watch.stay()
    assert Turn.objects.get(pk=turn.pk).state == TurnState.QUEUED


def test_the_model_reads_answers_with_their_own_questions():
    make_backend("say one", "say two")
    conversation = make_conversation()
    first = make_turn(conversation, "first question")
    second = make_turn(conversation, "second question")
    produce(first)
    produce(second)
    third = make_turn(conversation, "third question")
    third = Turn.objects.select_related("question").get(pk=third.pk)
    assert [message.content for message in prompts.read_history(third)] == [
        "first question", "one", "second question", "two",
    ]  # fmt: skip


def test_the_model_reads_the_conversation():
    make_backend("say first answer", name="a")
    conversation = make_conversation()
    produce(make_turn(conversation, "first question"))
    turn = make_turn(conversation, "second question")
    turn = turns.with_all_for_a_reply().get(pk=turn.pk)
    request = answering.build_question(turn).request
    assert [m.content for m in request.messages[:3]] == [
        "Answer from the articles.", "first question", "first answer",
    ]  # fmt: skip
    assert request.messages[-1].content.endswith("Question: second question")


@pytest.mark.parametrize(("num_before", "num_queries"), [(0, 5), (1, 6)])
def test_a_turn_is_claimed_and_its_request_built_in_few_queries(
    django_assert_max_num_queries, num_before, num_queries
):
    conversation = make_conversation()
    make_backend("say fine")
    for number in range(num_before):
        produce(make_turn(conversation, f"question {number}"))
    turn = make_turn(conversation)
    with django_assert_max_num_queries(num_queries):  # three of them for passages
        claimed = turns.claim(turn.id)
        assert claimed
        answering.build_question(claimed)
    assert claimed.prompt_id == SystemPrompt.objects.get(site=conversation.site).pk


def test_without_a_prompt_the_model_is_told_nothing():
    make_backend("say fine")
    turn = make_turn()
    SystemPrompt.objects.update(is_active=False)
    claimed = turns.claim(turn.id)
    assert claimed
    request = answering.build_question(claimed).request
    assert (request.messages[0].content, claimed.prompt_id) == ("", None)
