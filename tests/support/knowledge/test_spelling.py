import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.knowledge.spelling import Speller, slips

SPELLER = Speller(
    {"delivery": 9, "password": 5, "boot": 4, "boots": 7, "sleeping": 3, "tent": 8}
)


@pytest.mark.parametrize(
    ("word", "other", "count"),
    [
        ("tent", "tent", 0),
        ("tnet", "tent", 1),
        ("tents", "tent", 1),
        ("", "tent", 4),
        ("passwrod", "password", 1),
        ("ca", "abc", 3),
    ],
)
def test_counts_slips(word, other, count):
    assert slips(word, other) == count


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_slips_are_the_same_both_ways(word, other):
    assert slips(word, other) == slips(other, word)


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("passwrod", "password"),
        ("delivry", "delivery"),
        ("dellivary", "delivery"),
        ("bootts", "boots"),
        ("slepping", "sleeping"),
        ("tennt", "tent"),
    ],
)
def test_finds_the_word_that_was_meant(word, known):
    assert SPELLER.correct(word) == known


@pytest.mark.parametrize(
    "word", ["tnt", "2024x", "kayak", "quantum", "root", "test", "boats", ""]
)
def test_leaves_alone_what_is_near_nothing(word):
    assert SPELLER.correct(word) is None
