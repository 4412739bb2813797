import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.knowledge.passages import cut_passages
from support.models.article import PASSAGE_CHARACTERS


def texts(body):
    return [passage.text for passage in cut_passages(body)]


def test_a_section_is_a_passage():
    first, second = cut_passages("Hello there.\n\n## Price list\n\nIt is free.")
    assert (first.heading, first.anchor, first.text) == ("", "", "Hello there.")
    assert (second.heading, second.anchor, second.text) == (
        "Price list",
        "price-list",
        "It is free.",
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("*Fine* and [linked](/x) `code`.", "Fine and linked code."),
        ("One\ntwo.\n\nThree.", "One two. Three."),
        ("You need:\n\n- a tent\n- a bag.", "You need: a tent. a bag."),
        ("1. Open it\n2. Press Go", "Open it. Press Go."),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b. 1, 2."),
        ("> Quoted", "Quoted."),
        ("```\nmake run\n```", "make run."),
        ("<script>x</script>", "<script>x</script>."),
    ],
)
def test_marks_are_removed(body, text):
    assert texts(body) == [text]


def test_a_section_without_text_is_left_out():
    assert texts("# Title\n\n## Empty\n\n## Full\n\nYes.") == ["Yes."]


def test_equal_headings_get_anchors_of_their_own():
    passages = cut_passages("## Price\n\nA.\n\n## Price\n\nB.")
    assert [passage.anchor for passage in passages] == ["price", "price-2"]


def test_a_long_section_is_cut_between_sentences_into_like_parts():
    sentence = "This sentence has exactly fifty characters, yes it."
    lengths = [len(text) for text in texts(" ".join([sentence] * 14))]
    assert len(lengths) == 2
    assert max(lengths) - min(lengths) <= len(sentence) + 1


def test_a_sentence_longer_than_a_passage_is_cut_between_words():
    assert all(text.startswith("word") for text in texts("word " * 500))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000))
def test_no_passage_is_empty_or_too_long(body):
    assert all(0 < len(text) <= PASSAGE_CHARACTERS for text in texts(body))
