"""What customers of the sample shop type finds the section that answers."""

import pytest

from support.knowledge.measuring import Labelled


def headings(samples, question, *earlier):
    found = samples.search(Labelled(question, frozenset(), earlier))
    return [passage.heading for passage in found]


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("How long do I have to return something?", "How long you have"),
        ("return policy", "How long you have"),
        ("wat does standart delivry cost", "What delivery costs"),
        ("can my tent go into the washing machine", "Washing"),
        ("I forgot my passwrod", "A forgotten password"),
        ("shipment fees", "What delivery costs"),
        ("FIX MY ZIP!!!", "Prices and time"),
    ],
)
def test_the_right_section_is_among_the_first(samples, question, heading):
    assert heading in headings(samples, question)[:4]


def test_a_follow_up_is_read_with_the_question_before(samples):
    earlier = "When is the Port Marren store open?"
    assert headings(samples, "and in winter?", earlier)[0] == "Port Marren"


def test_a_new_subject_forgets_the_question_before(samples):
    question = "How do I wash a down sleeping bag?"
    earlier = "When is the Port Marren store open?"
    assert headings(samples, question, earlier) == headings(samples, question)


@pytest.mark.parametrize(
    "question", ["", "thanks!", "hello", "🏕️", "???", "\u0000", '"', "is it?"]
)
def test_finds_nothing_where_nothing_is_asked(samples, question):
    assert headings(samples, question) == []


@pytest.mark.parametrize(
    "question", ['tent" OR "', "NEAR(tent, 1)", "tent*", "title:tent", "-tent", "(tent"]
)
def test_the_index_language_is_plain_text(samples, question):
    assert headings(samples, question)


def test_unknown_words_lower_the_score(samples):
    known = samples.searcher.search("a broken pole")[0]
    unknown = samples.searcher.search("a broken quorxel gromb pole")[0]
    assert unknown.score < known.score


def test_a_question_for_a_price_prefers_a_price(samples):
    assert headings(samples, "how much is a repair")[0] == "Prices and time"
