"""Values of slots."""

import random

import pytest

from inference.lab.train import slots
from inference.lab.train.topics import Topic

TOPIC = Topic("shop", slots={"colour": ["red", "blue", "green", "black"]})


@pytest.mark.parametrize("kind", sorted(slots.NAMES - {"country"}))
def test_names_of_the_evaluation_never_occur_in_training(kind: str):
    rng = random.Random(5)
    trained = {slots.draw(TOPIC, kind, rng, held_out=False) for _ in range(300)}
    held_out = {slots.draw(TOPIC, kind, rng, held_out=True) for _ in range(300)}
    assert not trained & held_out


def test_a_topic_defines_its_own_values():
    value = slots.draw(TOPIC, "colour2", random.Random(1), held_out=False)
    assert value in TOPIC.slots["colour"]


def test_an_unknown_slot_is_an_error():
    with pytest.raises(KeyError):
        slots.draw(TOPIC, "nonsense", random.Random(1), held_out=False)


def test_a_slot_at_the_start_of_a_sentence_gets_a_capital():
    filled = slots.fill("{colour} is sold out.", {"colour": "red"})
    assert filled == "Red is sold out."


def test_numbered_slots_have_values_of_their_own():
    filled = slots.fill("{days} or {days2}", {"days": "2 days", "days2": "9 days"})
    assert filled == "2 days or 9 days"


@pytest.mark.parametrize("kind", sorted(slots.GENERATORS))
def test_every_generator_varies(kind: str):
    rng = random.Random(3)
    assert len({slots.draw(TOPIC, kind, rng, held_out=False) for _ in range(80)}) > 5
