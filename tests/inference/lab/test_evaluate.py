"""Judging answers."""

from collections.abc import Sequence

import numpy as np
import pytest

from inference.lab.evaluate import build_dialogues, judge, measure, summarise
from inference.lab.train.blocks import Block, Branch, Passage
from inference.lab.train.small_talk import load_small_talk
from inference.types import CompletionRequest
from inference.word_vectors import WordVectors

TALK = load_small_talk()
EMPTY = Block("", [], [])
FACT = Branch("how long?", "fact", "", ("You have 3 days.",), ("r/w",), 1)
REFUSAL = Branch("how long?", "refusal: same topic", TALK.refusal)


@pytest.mark.parametrize(
    ("branch", "answer", "correct"),
    [
        (FACT, "You have 3 days.", True),
        (FACT, "Hello! You have 3 days.", True),
        (FACT, "You have 4 days.", False),
        (FACT, TALK.refusal, False),
        (REFUSAL, TALK.refusals[2], True),
        (REFUSAL, "You have 3 days.", False),
    ],
)
def test_an_answer_is_right_if_it_holds_the_right_sentence(branch, answer, correct):
    assert judge(EMPTY, branch, answer, TALK).correct is correct


def test_small_talk_may_hold_names_of_the_system_prompt():
    group = next(g for g in TALK.groups if any("{shop}" in a for a in g.answers))
    answer = next(a for a in group.answers if "{shop}" in a)
    said = answer.replace("{shop}", "Fernhill").replace("{person}", "Fern")
    branch = Branch("hi", f"small talk: {group.name}")
    assert judge(EMPTY, branch, said, TALK).correct


def test_a_reader_that_repeats_what_is_expected_is_always_right():
    dialogues = build_dialogues("held_out", 60, seed=1)
    outcomes = measure(lambda _: [b.answer for _, b in dialogues], dialogues, TALK)
    assert all(outcome.correct for outcome in outcomes)


def test_sentences_weigh_as_much_as_they_are_close_to_the_question():
    block = Block("", [], [Passage("Shop", ["We sell tents.", "Parking is free."], [])])
    vectors = WordVectors(["parking", "tents"], np.eye(2, dtype=np.float32))
    seen: list[CompletionRequest] = []

    def read(requests: Sequence[CompletionRequest]) -> list[str]:
        seen.extend(requests)
        return ["" for _ in requests]

    measure(read, [(block, Branch("parking?", "refusal"))], TALK, vectors)
    assert [sentence.weight for sentence in seen[0].quotable] == [0.0, 1.0]


def test_a_refused_fact_counts_as_a_false_refusal():
    outcome = judge(EMPTY, FACT, TALK.refusal, TALK)
    assert ("false refusals", 1, 1) in summarise([outcome])
