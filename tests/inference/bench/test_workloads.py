import random
from itertools import pairwise

import pytest

from inference.bench.words import (
    build_chain,
    count_words,
    draw_passages,
    draw_text,
    join_words,
)
from inference.bench.workloads import (
    Agenda,
    build_churn,
    build_copy,
    build_support,
    build_turns,
)
from inference.types import ChatMessage


def places(text: str) -> list[int]:
    """Return where in the chain the words of a text stand."""
    chain = {join_words([number]).strip(): n for n, number in enumerate(build_chain())}
    return [chain[word] for word in text.split()]


def test_the_chain_has_every_word_once():
    assert len(set(build_chain())) == len(build_chain()) > 1500


def test_a_text_has_as_many_words_as_tokens_were_asked_for():
    assert count_words(draw_text(random.Random(1), 45)) == 45


def test_no_two_words_of_a_text_stand_side_by_side_in_the_chain():
    drawn = places(draw_text(random.Random(1), 3000))
    pairs = pairwise(drawn)
    assert all((late - early) % len(build_chain()) != 1 for early, late in pairs)


def test_passages_hold_half_of_any_answer():
    held = set(places(draw_passages(random.Random(1), 16)))
    shares = [sum(n in held for n in range(at, at + 96)) for at in range(0, 1800, 7)]
    assert set(shares) == {48}


def test_the_seed_fixes_the_texts():
    assert build_support(1, 1) == build_support(1, 1)


def test_another_seed_asks_other_questions_under_the_same_system_prompt():
    first, second = (build_support(seed, 7).conversations[0] for seed in (1, 2))
    assert first.system == second.system
    assert first.questions != second.questions


def test_support_asks_all_first_questions_before_any_second():
    workload = build_support(1, 1)
    assert workload.order == (*range(16), *range(16))
    assert workload.num_parallel == 16


def test_churn_asks_four_questions_of_each_of_64_in_random_order():
    order = build_churn(1).order
    assert sorted(order) == sorted([*range(64)] * 4)
    assert list(order) != sorted(order)


def test_turns_ends_a_conversation_before_the_next_begins():
    assert build_turns(1, 2, 3).order == (0, 0, 0, 1, 1, 1)


def test_copy_asks_all_about_the_same_passages():
    workload = build_copy(1, 3, 96, copies=True)
    assert len({one.system for one in workload.conversations}) == 1
    assert len({one.questions for one in workload.conversations}) == 3


def test_what_cannot_be_copied_is_as_long_as_what_can():
    with_copies, without = (
        build_copy(1, 1, 96, copies).conversations[0].system for copies in (True, False)
    )
    assert count_words(with_copies) == count_words(without)


def test_a_turn_follows_on_the_answers_before_it():
    conversation = build_support(1, 1, 1, 2).conversations[0]
    messages = conversation.build_messages([" an answer"])
    assert [one.role for one in messages] == ["system", "user", "assistant", "user"]
    assert messages[2] == ChatMessage("assistant", " an answer")
    assert messages[3].content == conversation.questions[1]


def test_a_conversation_has_one_turn_at_a_time_and_lets_others_pass():
    agenda = Agenda((0, 0, 1))
    assert [agenda.take(), agenda.take(), agenda.take()] == [0, 1, None]
    agenda.finish(0)
    assert agenda.take() == 0


def test_an_agenda_is_empty_when_every_turn_is_taken():
    agenda = Agenda((0,))
    assert not agenda.is_empty
    agenda.take()
    assert agenda.is_empty


def test_nobody_can_finish_a_turn_twice():
    agenda = Agenda((0,))
    agenda.take()
    agenda.finish(0)
    with pytest.raises(KeyError):
        agenda.finish(0)
