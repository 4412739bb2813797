from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.knowledge.citations import (
    find_invented,
    strip_markers,
    verify_citations,
)


@dataclass(frozen=True)
class Source:
    title: str
    text: str
    heading: str = ""


RETURNS = Source("Returning an item", "You can return unused items within 60 days.")
DELIVERY = Source(
    "Delivery", "Standard delivery costs $4.90. It is free for orders of $60 or more."
)
CONTACT = Source("Contact", "Write to help@shop.example or call 555-0142.")
SOURCES = [RETURNS, DELIVERY, CONTACT]


def cited(reply):
    return [citation.passage for citation in verify_citations(reply, SOURCES)]


@pytest.mark.parametrize(
    ("reply", "sources"),
    [
        ("You can return unused items within 60 days.", [RETURNS]),
        ("Good question! Standard delivery costs $4.90.", [DELIVERY]),
        ("Unused items can be returned for 60 days [1].", [RETURNS]),
        ("**Standard delivery** costs **$4.90**.", [DELIVERY]),
        (
            "Standard delivery costs $4.90. You can return unused items in 60 days.",
            [DELIVERY, RETURNS],
        ),
        ("Standard delivery costs $4.90. It is free for orders of $60.", [DELIVERY]),
        ("Please write to help@shop.example.", [CONTACT]),
    ],
)
def test_cites_what_supports_the_reply(reply, sources):
    assert cited(reply) == sources


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Hello!",
        "I could not find that. Would you like to talk to a person?",
        "You can return unused items within 90 days.",
        "Standard delivery costs $5.90 [2].",
        "Kayaks float on water [1].",
        "Please write to help@evil.example.",
        "Wear a helmet when you climb. [3]",
    ],
)
def test_cites_nothing_that_does_not_support_it(reply):
    assert cited(reply) == []


def test_of_equals_the_named_passage_is_cited():
    twin = Source("Returns", RETURNS.text)
    (citation,) = verify_citations(f"{RETURNS.text} [2]", [RETURNS, twin])
    assert citation.passage is twin


def test_a_wrong_number_in_brackets_does_not_mislead():
    assert cited("You can return unused items within 60 days. [2]") == [RETURNS]


def test_a_citation_carries_the_sentence_without_markers():
    (citation,) = verify_citations("Sure. Standard delivery costs $4.90 [2].", SOURCES)
    assert citation.sentence == "Standard delivery costs $4.90."


@pytest.mark.parametrize(
    ("reply", "invented"),
    [
        ("Delivery costs $4.90.", []),
        ("Delivery costs $4,90 [1].", []),
        ("Delivery costs $49.", ["49"]),
        ("It takes 1,500 g.", []),
        ("It takes 1500 g.", []),
        ("Call 555-0142.", []),
        ("Call 555-0143.", ["0143"]),
        ("See https://shop.example/a.", []),
        ("See https://evil.example/a.", ["https://evil.example/a"]),
        ("Mail HELP@shop.example!", []),
        ("Mail me@shop.example!", ["me@shop.example"]),
        ("It opens at 9:00.", []),
        ("It opens at 9:30.", ["9:30"]),
    ],
)
def test_finds_what_was_never_given(reply, invented):
    given_texts = [
        "It costs $4.90 and weighs 1,500 g; from 9:00.",
        "Call 555-0142, mail help@shop.example, see https://shop.example/a.",
    ]
    assert find_invented(reply, given_texts) == invented


@pytest.mark.parametrize(
    ("content", "stripped"),
    [
        ("Yes [1].", "Yes."),
        ("Yes. [1][2]", "Yes."),
        ("A [1, 2] and b", "A and b"),
        ("An [x] stays", "An [x] stays"),
    ],
)
def test_strips_markers(content, stripped):
    assert strip_markers(content) == stripped


@given(st.text(max_size=300))
def test_a_copied_text_is_never_invented(text):
    assert find_invented(text, [text]) == []


@given(st.text(max_size=300))
def test_cites_each_passage_once_at_most(reply):
    found = cited(reply)
    assert len(found) == len(set(found))
