import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.knowledge.words import content_stems, read_stems, read_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How long?", ["how", "long"]),
        ("It's the customer's", ["it", "the", "customer"]),
        ("it isn\u2019t, can't, dont", ["it", "not", "not", "not"]),
        ("I want a pen", ["i", "want", "a", "pen"]),
        ("Café $4.90", ["cafe", "4", "90"]),
        ("under_score", ["under", "score"]),
        ("🏕️ !?", []),
    ],
)
def test_reads_words(text, words):
    assert read_words(text) == words


def test_content_leaves_out_how_something_is_asked():
    assert content_stems("Could you please tell me about returns?") == ["return"]


@given(st.text(max_size=200))
def test_every_word_has_a_stem(text):
    assert len(read_stems(text)) == len(read_words(text))
