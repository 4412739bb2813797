"""Text of strangers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chat.cleaning import clean_text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("  hi \n", "hi"),
        ("a\x00b", "ab"),
        ("a\ud800b", "ab"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("tab\tstays", "tab\tstays"),
        ("e\u0301", "é"),
        ("safe\u202eevil", "safeevil"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("👨‍👩‍👧 stays", "👨‍👩‍👧 stays"),
        ("مرحبا", "مرحبا"),
        (" \n\t ", ""),
    ],
)
def test_cleans(dirty, clean):
    assert clean_text(dirty) == clean


@given(st.text(st.characters()))
def test_cleaned_text_can_be_encoded_and_stays_clean(text):
    cleaned = clean_text(text)
    assert cleaned.encode() is not None
    assert clean_text(cleaned) == cleaned
