"""When dialogues become harder, and how large the steps are."""

import pytest

from inference.lab.train.curriculum import (
    GOOD_ANSWERS,
    GOOD_CHOICES,
    Curriculum,
    learning_rate_factor,
)


def test_good_copies_and_choices_raise_the_difficulty():
    curriculum = Curriculum()
    curriculum.observe(GOOD_ANSWERS / 2, GOOD_CHOICES / 2)
    assert curriculum.difficulty > 0


@pytest.mark.parametrize(
    ("answers", "choices"),
    [(GOOD_ANSWERS * 2, GOOD_CHOICES / 2), (GOOD_ANSWERS / 2, GOOD_CHOICES * 2)],
)
def test_it_waits_while_either_is_bad(answers: float, choices: float):
    curriculum = Curriculum(difficulty=0.3)
    curriculum.observe(answers, choices)
    assert curriculum.difficulty == 0.3


def test_difficulty_ends_at_one():
    curriculum = Curriculum(difficulty=0.999)
    curriculum.observe(0.0, 0.0)
    assert curriculum.difficulty == 1.0


def test_steps_grow_stay_and_shrink():
    factors = [learning_rate_factor(5, 0.0), learning_rate_factor(900, 0.2)]
    factors.append(learning_rate_factor(5000, 0.9))
    assert factors[0] < factors[2] < factors[1] == 1.0
