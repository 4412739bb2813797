"""Word vectors: directions of texts, and the file they ship in."""

import numpy as np
import pytest

from inference.word_vectors import WordVectors, load_word_vectors, save_word_vectors

VECTORS = WordVectors(
    ["refund", "money", "tent"],
    np.array([[2, 0.1, 0], [1, -0.1, 0], [0, 0, 3]], dtype=np.float32),
)


def similarity(vectors, one, other):
    first, second = vectors.embed([one, other])
    return float(first @ second)


def test_texts_of_like_words_are_close():
    assert similarity(VECTORS, "My refund!", "money") > 0.9
    assert similarity(VECTORS, "refund", "tent") == pytest.approx(0)


def test_a_text_without_a_known_word_is_close_to_nothing():
    assert similarity(VECTORS, "Zelt", "tent") == 0
    assert similarity(VECTORS, "", "") == 0


@pytest.mark.parametrize("typo", ["refnud", "refun", "reffund", "regund", "REFUMD"])
def test_a_question_may_misspell_a_word_by_a_letter(typo):
    assert VECTORS.closeness(f"my {typo}", ["refund", "tent"]) == [
        pytest.approx(1),
        0,
    ]


@pytest.mark.parametrize("word", ["tend", "rfeudn", "mo"])
def test_what_is_further_away_is_not_corrected(word):
    assert VECTORS.closeness(word, ["refund", "tent", "money"]) == [0, 0, 0]


def test_of_two_near_words_the_one_with_the_same_letters_is_meant():
    vectors = WordVectors(["forms", "fromm"], np.eye(2, dtype=np.float32))
    assert vectors.closeness("froms", ["forms", "fromm"]) == [1.0, 0.0]


def test_a_sentence_with_a_name_of_the_question_is_closer():
    close = VECTORS.closeness("refund for a Kibo", ["refund", "Kibo: refund", "tent"])
    assert close == [pytest.approx(0.9), pytest.approx(1.1), 0]


def test_a_part_of_a_word_is_not_its_name():
    close = VECTORS.closeness("refund Kib", ["refund of a Kibo"])
    assert close == [pytest.approx(0.9)]


def test_a_misspelt_word_is_no_name():
    assert VECTORS.closeness("refnud", ["refund"]) == [pytest.approx(1)]


def test_no_texts_are_no_rows():
    assert VECTORS.embed([]).shape == (0, 3)


def test_a_file_keeps_directions(tmp_path):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(50, 16)).astype(np.float32)
    words = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(50)]
    save_word_vectors(tmp_path / "words.npz", words, vectors)
    loaded = load_word_vectors(tmp_path / "words.npz")
    before = WordVectors(words, vectors).embed(words)
    assert ((before * loaded.embed(words)).sum(axis=1) > 0.999).all()


def test_a_file_with_a_word_too_few_is_refused(tmp_path):
    save_word_vectors(tmp_path / "words.npz", ["one"], np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="has 1 words, 2 vectors"):
        load_word_vectors(tmp_path / "words.npz")
