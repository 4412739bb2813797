"""Passages that mean the same in other words."""

import numpy as np
import pytest

from inference.word_vectors import WordVectors
from support.knowledge.index import open_memory_index
from support.knowledge.meanings import MeaningIndex, bundled_vectors
from support.knowledge.searcher import build_memory_searcher
from support.knowledge.sentences import split_lines
from support.knowledge.vocabulary import PassageText

VECTORS = WordVectors(
    ["voucher", "gift", "parcel"],
    np.array([[1, 0], [0.95, 0.05], [0, 1]], dtype=np.float32),
)


class CountingVectors(WordVectors):
    """Keeps what it is asked to embed."""

    def __init__(self):
        super().__init__(["voucher", "parcel"], np.eye(2, dtype=np.float32))
        self.embedded = []

    def embed(self, texts):
        self.embedded += (texts := list(texts))
        return super().embed(texts)


def passage(number, heading, text):
    return PassageText(number, "", heading, text, keywords="", summary="")


INDEX = MeaningIndex(
    VECTORS,
    [
        passage(7, "", "Parcel. A gift for you."),
        passage(8, "Voucher", "Parcel."),
        passage(9, "", "Unknown words."),
    ],
)


def test_the_closest_sentence_of_a_passage_counts():
    assert INDEX.closeness("voucher")[7] > 0.9


def test_what_is_no_closer_than_by_chance_is_left_out():
    assert set(INDEX.closeness("voucher")) == {7}


def test_a_question_of_unknown_words_is_close_to_nothing():
    assert INDEX.closeness("xyz") == {}


def test_an_index_of_nothing_finds_nothing():
    assert MeaningIndex(VECTORS, []).closeness("voucher") == {}


def test_sentences_are_compared_one_by_one():
    near, far = INDEX.sentence_closeness("voucher", ["A gift.", "A parcel."])
    assert near > 0.9
    assert far == 0


def test_no_sentences_are_close_to_nothing():
    assert INDEX.sentence_closeness("voucher", []) == []


def test_sentences_of_the_passages_are_as_close_as_if_they_were_unknown(samples):
    passages = list(samples.searcher.read(samples.slug_of))
    sentences = [text for one in passages for text in split_lines(one.text)]
    question = "can I send a tent back that I have used"
    known, unknown = (
        MeaningIndex(bundled_vectors(), those).sentence_closeness(question, sentences)
        for those in (passages, [])
    )
    assert known == pytest.approx(unknown, abs=1e-6)
    assert any(known)


def test_a_changed_sentence_is_compared_as_it_is_now():
    sentences = ["Parcel.", "A voucher for you."]
    assert INDEX.sentence_closeness("voucher", sentences) == pytest.approx([0, 1])


def test_questions_and_passages_are_embedded_once():
    vectors = CountingVectors()
    index = MeaningIndex(vectors, [passage(1, "", "A voucher. A parcel.")])
    index.closeness("which voucher?")
    index.sentence_closeness("which voucher?", ["A parcel.", "A voucher."])
    assert vectors.embedded == ["A voucher.", "A parcel.", "which voucher"]


def test_the_bundled_vectors_know_what_customers_call_things():
    asked, told, other = bundled_vectors().embed(
        ["can I send it back", "return unused items", "opening hours of our store"]
    )
    assert asked @ told > asked @ other + 0.2


def test_a_passage_without_a_word_of_the_question_is_found():
    passages = [
        passage(1, "Opening hours", "Our stores open at nine."),
        passage(2, "Your password", "Choose a new password in your profile."),
        passage(3, "Delivery", "We bring your parcel within two days."),
    ]
    searcher = build_memory_searcher(open_memory_index(), passages)
    found = searcher.search("cannot log in any more, forgot my credentials")
    assert found[0].passage.passage_id == 2
