from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.detokenizer import Detokenizer
from inference.engine.reasoning import KNOWN_TAGS, THINK, Reasoning


def read(pieces, tags=(THINK,), closing=None, stop=(), **options):
    reasoning = Reasoning(tags, closing, **options)
    detokenizer = Detokenizer(stop, reasoning)
    shown = [detokenizer.push(piece.encode()) for piece in pieces]
    return [*shown, detokenizer.finish()], reasoning


def read_text(*pieces, **options):
    return "".join(read(pieces, **options)[0])


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["<think>", "Hm.", "</think>", "\n\n", "Yes."], "Yes."),
        (["\n<th", "ink>H", "m.</", "thi", "nk>Yes."], "Yes."),
        (["<think></think>Yes."], "Yes."),
        (["<think>a</think>\n<think>b</think>\n\nYes."], "Yes."),
        (["<think>a < b, </b></think> Yes."], "Yes."),
        (["<think>Hm."], ""),
        (["<think>Hm.</thin"], ""),
        (["Yes."], "Yes."),
        ([" ", "Yes."], " Yes."),
        (["<", "b>Yes.</b>"], "<b>Yes.</b>"),
        (["<thi"], "<thi"),
        (
            ["The tag <think>", "is", "</think> text."],
            "The tag <think>is</think> text.",
        ),
        (["Yes.", "</think>"], "Yes.</think>"),
    ],
)
def test_keeps_sections_out_across_token_borders(pieces, text):
    assert read_text(*pieces) == text


def test_shows_text_as_soon_as_it_cannot_be_a_section():
    assert read(["<", "b", ">"])[0] == ["", "<b", ">", ""]


def test_a_section_that_the_prompt_opened_is_kept_out():
    assert read_text("Hm.", "</think>", "\n\nYes.", closing="</think>") == "Yes."


@pytest.mark.parametrize("tags", KNOWN_TAGS)
def test_knows_the_tags_of_other_models(tags):
    opening, closing = tags
    assert read_text(opening, "Hm.", closing, "Yes.", tags=(THINK, tags)) == "Yes."


def test_counts_the_tokens_of_sections_with_their_tags():
    _, reasoning = read(["<th", "ink>", "H", "m.", "</think>", "\n\n", "Yes", "."])
    assert reasoning.num_tokens == 5


def test_counts_a_section_that_never_ends():
    _, reasoning = read(["<think>", "H", "m."])
    assert (reasoning.num_tokens, reasoning.is_open) == (3, True)


def test_counts_nothing_where_nothing_is_thought():
    assert read(["<", "b>", "Yes"])[1].num_tokens == 0


def test_a_stop_string_inside_a_section_ends_nothing():
    pieces = ["<think>", "END?", "</think>", "Yes", "END", "No"]
    assert read_text(*pieces, stop=("END",)) == "Yes"


def test_what_was_held_back_may_be_a_stop_string():
    assert read_text("<thi", stop=("<",)) == ""


def test_drops_the_rest_of_a_closing_token_where_a_grammar_begins():
    assert read_text("<think>", "</think>{", "{}", keeps_rest=False) == "{}"


@st.composite
def replies(draw):
    """Thoughts and an answer of few letters, cut anywhere."""
    letters = st.text("<>/think ab\n", max_size=20)
    thoughts = [
        thought
        for thought in draw(st.lists(letters, max_size=3))
        if "</" not in thought
    ]
    answer = draw(st.text("ab<", max_size=20)).lstrip("<")
    sections = "".join(f"<think>{thought}</think>\n" for thought in thoughts)
    text = sections + answer
    cuts = sorted(draw(st.lists(st.integers(0, len(text)))))
    return (
        bool(thoughts),
        answer,
        [text[a:b] for a, b in pairwise([0, *cuts, len(text)])],
    )


@settings(deadline=None)
@given(replies())
def test_leaves_the_answer_however_it_is_cut(reply):
    _, answer, pieces = reply
    assert read_text(*pieces) == answer


@settings(deadline=None)
@given(replies(), st.text("ab", min_size=1, max_size=3))
def test_stops_in_the_answer_however_it_is_cut(reply, stop):
    _, answer, pieces = reply
    assert read_text(*pieces, stop=(stop,)) == answer.partition(stop)[0]


@settings(deadline=None)
@given(replies())
def test_counts_no_more_than_there_are(reply):
    has_thoughts, _, pieces = reply
    _, reasoning = read(pieces)
    assert has_thoughts == bool(reasoning.num_tokens)
    assert reasoning.num_tokens <= len(pieces)
