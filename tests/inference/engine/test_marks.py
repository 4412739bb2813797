"""Sentences get letters, and nothing else changes."""

from inference.engine.marks import MARKS, mark_messages, mark_sentences
from inference.types import ChatMessage, Quotable

TEXT = "[1] Returns\nSend it back. It is free.\n\nQuestion: Send it back.?"


def quotable(*texts):
    return [Quotable(text) for text in texts]


def test_every_sentence_gets_a_letter_and_a_line():
    marked, _ = mark_sentences(TEXT, quotable("Send it back.", "It is free."))
    assert marked == (
        "[1] Returns\na) Send it back.\nb) It is free.\n\nQuestion: Send it back.?"
    )


def test_letters_lead_back_to_the_sentences():
    items = quotable("Send it back.", "It is free.")
    assert mark_sentences(TEXT, items)[1] == dict(zip("ab", items, strict=True))


def test_a_sentence_that_stands_twice_gets_two_letters():
    marked, _ = mark_sentences("Yes.\nYes.", quotable("Yes.", "Yes."))
    assert marked == "\na) Yes.\nb) Yes."


def test_what_does_not_stand_in_the_text_gets_none():
    marked, found = mark_sentences("Yes.", quotable("No.", "", "Yes."))
    assert (marked, list(found)) == ("\na) Yes.", ["a"])


def test_letters_are_not_used_twice():
    many = [f"S{number}." for number in range(40)]
    marked, found = mark_sentences(" ".join(many), quotable(*many))
    assert "".join(found) == MARKS
    assert marked.endswith("z) S25. S26. S27. " + " ".join(many[28:]))


def test_only_the_last_message_is_marked():
    messages = (ChatMessage("user", "Yes."), ChatMessage("user", "Yes."))
    marked, _ = mark_messages(messages, quotable("Yes."))
    assert [m.content for m in marked] == ["Yes.", "\na) Yes."]
