import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.knowledge.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs $4.90. It is red.", ["It costs $4.90.", "It is red."]),
        (
            "Fuel, e.g. gas, is out. So is food.",
            ["Fuel, e.g. gas, is out.", "So is food."],
        ),
        ("Ask Dr. Fern. She knows.", ["Ask Dr. Fern.", "She knows."]),
        ("J. Smith came. Then left.", ["J. Smith came.", "Then left."]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("No end", ["No end"]),
        ("一。二。", ["一。", "二。"]),
        ("  \n ", []),
    ],
)
def test_splits(text, sentences):
    assert split_sentences(text) == sentences


@given(st.text(max_size=300))
def test_loses_nothing_but_white_space(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
