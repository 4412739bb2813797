"""Topic files: what the parser reads, and that every shipped file keeps the rules."""

import random

import pytest

from inference.lab.train import slots
from inference.lab.train.topics import (
    Fact,
    Topic,
    TopicError,
    is_unseen,
    load_topics,
    parse_topics,
)

TEXT = """
# a comment
slot colour: red | blue
= returns
titles: Returns | Sending back
filler: We like you.
n: who sews the {colour} ones
N: is it warm

## window
s: You have {days} to return a {colour} item.
S: Return the {colour} item within {days}.
q: how long for a {colour} one
Q: {colour} deadline
"""
TOPICS = load_topics()
FACTS = [
    pytest.param(topic, fact, id=f"{topic.id}/{fact.id}")
    for topic in TOPICS
    for fact in topic.facts
]


def test_reads_titles_slots_and_facts():
    (topic,) = parse_topics(TEXT)
    assert topic.titles == ["Returns", "Sending back"]
    assert topic.slots == {"colour": ["red", "blue"]}
    assert topic.facts[0].held_out_questions == ["{colour} deadline"]
    assert topic.near_misses == ["who sews the {colour} ones"]
    assert topic.held_out_near_misses == ["is it warm"]


def test_asked_slots_are_those_of_the_questions():
    assert parse_topics(TEXT)[0].facts[0].asked_slots == {"colour"}


def test_a_line_of_no_known_kind_is_named():
    with pytest.raises(TopicError, match=r"returns\.txt:2: .x: nothing."):
        parse_topics("= returns\nx: nothing", "returns.txt")


def test_a_fact_before_any_topic_is_an_error():
    with pytest.raises(TopicError, match=r"topics:1: "):
        parse_topics("## window")


@pytest.mark.parametrize(("topic", "fact"), FACTS)
def test_every_fact_has_something_to_train_and_to_hold_out(topic: Topic, fact: Fact):
    assert len(fact.statements) >= 3
    assert len(fact.questions) >= 5
    assert len(fact.held_out_statements) == 1
    assert len(fact.held_out_questions) == 2


@pytest.mark.parametrize(("topic", "fact"), FACTS)
def test_held_out_wordings_are_in_no_training_wording(topic: Topic, fact: Fact):
    assert not set(fact.held_out_statements) & set(fact.statements)
    assert not set(fact.held_out_questions) & set(fact.questions)


@pytest.mark.parametrize(("topic", "fact"), FACTS)
def test_every_slot_has_values(topic: Topic, fact: Fact):
    texts = fact.statements + fact.questions + fact.held_out_statements
    drawn = [
        slots.draw(topic, name, random.Random(1), held_out=False)
        for name in slots.slots_in(texts + fact.held_out_questions)
    ]
    assert all(drawn)


def test_a_few_facts_are_held_out_as_a_whole():
    unseen = [is_unseen(topic, fact) for topic in TOPICS for fact in topic.facts]
    assert 0.01 < sum(unseen) / len(unseen) < 0.08
