"""The noise of real typing."""

import random

from hypothesis import given
from hypothesis import strategies as st

from inference.lab.train.questions import (
    GREETING_LEAD,
    dress,
    misspell,
)


def test_without_noise_a_question_stays_as_it_is():
    assert dress("How long?", random.Random(1), 0.0).text == "How long?"


def test_a_greeting_is_answered_with_one():
    rng = random.Random(1)
    asked = [dress("how long is the warranty", rng, 1.0) for _ in range(400)]
    greeted = [a for a in asked if a.lead == GREETING_LEAD]
    greetings = ("hi", "hey", "hello", "good", "dear")
    assert greeted
    assert all(a.text.lower().startswith(greetings) for a in greeted)


@given(st.integers(), st.lists(st.from_regex(r"[A-Z]{2}-[0-9]{4}", fullmatch=True)))
def test_typos_leave_codes_alone(seed: int, codes: list[str]):
    text = " ".join(["order", *codes])
    assert misspell(text, random.Random(seed)).split(" ")[1:] == codes


def test_a_typo_changes_one_word():
    text = misspell("where is my parcel", random.Random(4))
    before, after = ["where", "is", "my", "parcel"], text.split()
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1
