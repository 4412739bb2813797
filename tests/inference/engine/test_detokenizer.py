from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.detokenizer import Detokenizer


def read(pieces, stop=()):
    detokenizer = Detokenizer(stop)
    shown = [detokenizer.push(piece) for piece in pieces]
    return [*shown, detokenizer.finish()], detokenizer.is_stopped


def test_holds_back_half_a_character():
    shown, _ = read(["né".encode()[:2], "né".encode()[2:], b"!"])
    assert shown == ["n", "é", "!", ""]


def test_drops_an_unfinished_character_at_the_end():
    assert read([b"tent ", "⛺".encode()[:2]])[0] == ["tent ", "", ""]


def test_replaces_bytes_that_are_no_text():
    assert "".join(read([b"a\xff", b"b"])[0]) == "a\ufffdb"


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"Yes.<|im", b"_end|>", b" more"], "Yes."),
        ([b"Yes.<|im_end|> more"], "Yes."),
        ([b"Yes.", b"<", b"|", b"im_end", b"|", b">"], "Yes."),
        ([b"Yes.<<|im_end|>"], "Yes.<"),
    ],
)
def test_stops_before_a_stop_string_across_token_borders(pieces, text):
    shown, is_stopped = read(pieces, ["<|im_end|>", "<|im_start|>"])
    assert ("".join(shown), is_stopped) == (text, True)


def test_shows_what_only_looked_like_a_stop_string():
    shown, is_stopped = read([b"a <|im", b"portant|>"], ["<|im_end|>"])
    assert (shown, is_stopped) == (["a ", "<|important|>", ""], False)


def test_shows_what_was_held_back_when_nothing_follows():
    assert read([b"a\n"], ["\nUser:"])[0] == ["a", "\n"]


@given(st.text(), st.data())
def test_is_the_text_however_it_is_cut(text, data):
    encoded = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)))))
    borders = [0, *cuts, len(encoded)]
    pieces = [encoded[a:b] for a, b in pairwise(borders)]
    assert "".join(read(pieces)[0]) == text


@st.composite
def texts_in_pieces(draw):
    """A text of few letters, so that stop strings begin often, and cuts of it."""
    text = draw(st.text("ab", max_size=30))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)))))
    borders = [0, *cuts, len(text)]
    return text, [text[a:b].encode() for a, b in pairwise(borders)]


stops = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


@given(texts_in_pieces(), stops)
def test_ends_before_the_first_stop_string_is_complete(cut, stop):
    text, pieces = cut
    shown, is_stopped = read(pieces, stop)
    assert is_stopped == any(string in text for string in stop)
    assert text.startswith("".join(shown))
    assert all(string not in "".join(shown) for string in stop)


@given(texts_in_pieces(), stops)
def test_shows_everything_without_a_stop_string_in_the_text(cut, stop):
    text, pieces = cut
    absent = [string for string in stop if string not in text]
    assert "".join(read(pieces, absent)[0]) == text


@given(texts_in_pieces(), st.text("ab", min_size=1, max_size=4))
def test_shows_everything_before_the_only_stop_string(cut, stop):
    text, pieces = cut
    assert "".join(read(pieces, [stop])[0]) == text.partition(stop)[0]


def cut_by_the_book(text, stop):
    """Return the text before the stop string that is complete first."""
    for length in range(len(text) + 1):
        starts = [length - len(s) for s in stop if text[:length].endswith(s)]
        if starts:
            return text[: min(starts)]
    return text


@given(st.text("ab", max_size=30), stops)
def test_ends_before_the_stop_string_that_is_complete_first(text, stop):
    shown, _ = read([letter.encode() for letter in text], stop)
    assert "".join(shown) == cut_by_the_book(text, stop)
