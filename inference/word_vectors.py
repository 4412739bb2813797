"""What words mean in support questions, as vectors: light enough for every process.

They are learned with the bundled model, from the same texts (lab/train/words.py), so
that "voucher" lies near "gift card" and "give back" near "return". English only: of
other languages they know nothing, and say so with zeros.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A sentence of a prompt is this close to a question by chance.
CHANCE = 0.2

# What a name of the question in a sentence, or its absence, is worth.
_NAME_WEIGHT = 0.1

# A shorter word that is not known is another word, not a known one misspelt.
_LEAST_MISSPELT_LETTERS = 5

_WORD = re.compile(r"[a-z]+")
_NAME = re.compile(r"[a-z][a-z0-9]{2,}")


def read_words(text: str) -> list[str]:
    """Return the words of a text as the vectors know them: letters, lower case."""
    return _WORD.findall(text.lower())


class WordVectors:
    """A vector for every known word; `vectors` is (words, dimensions)."""

    def __init__(self, words: Iterable[str], vectors: NDArray[np.float32]) -> None:
        self._row_of = {word: row for row, word in enumerate(words)}
        self._vectors = vectors

    @property
    def num_dimensions(self) -> int:
        """The length of a vector."""
        return int(self._vectors.shape[1])

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return (texts, dimensions): directions of length 1, or 0 where unknown.

        The product of two of them is from -1 to 1, 1 for texts of the same meaning.
        """
        sums = [
            self._vectors[rows].sum(axis=0)
            if (rows := [self._row_of[w] for w in read_words(t) if w in self._row_of])
            else np.zeros(self.num_dimensions, dtype=np.float32)
            for t in texts
        ]
        stacked = np.array(sums, dtype=np.float32).reshape(-1, self.num_dimensions)
        lengths = np.linalg.norm(stacked, axis=1, keepdims=True)
        directions: NDArray[np.float32] = stacked / np.maximum(
            lengths, np.finfo(np.float32).tiny
        )
        return directions

    def embed_question(self, question: str) -> NDArray[np.float32]:
        """Return (dimensions,): the direction of a text that may hold typos."""
        words = [self._correct(word) for word in read_words(question)]
        direction: NDArray[np.float32] = self.embed([" ".join(words)])[0]
        return direction

    def closeness(self, question: str, sentences: Iterable[str]) -> list[float]:
        """Return how close each sentence is to a question, from 0 (chance) to 1.1."""
        texts = list(sentences)
        asked = self.embed_question(question)
        return self.mind_names(question, texts, above_chance(self.embed(texts) @ asked))

    def mind_names(
        self, question: str, sentences: Iterable[str], closeness: NDArray[np.float32]
    ) -> list[float]:
        """Return the closeness of sentences with regard to names in the question.

        Words that are not known, whatever the typo, are mostly names: of a product, a
        place. A sentence that has one is closer, one that has none is less close.
        """
        names = {
            word
            for word in _NAME.findall(question.lower())
            if self._correct(word) not in self._row_of
        }
        if not names:
            return [float(one) for one in closeness]
        has_name = np.array(
            [not names.isdisjoint(_NAME.findall(text.lower())) for text in sentences]
        )
        shifts = np.where(has_name, _NAME_WEIGHT, -_NAME_WEIGHT)
        return [max(0.0, float(one)) for one in closeness + shifts]

    def _correct(self, word: str) -> str:
        """Return the known word that an unknown one is a letter away from, if any.

        A letter too many, too few, another, or two swapped. Of several, the one with
        the same first letter and the same letters comes first.
        """
        if word in self._row_of or len(word) < _LEAST_MISSPELT_LETTERS:
            return word
        near = {
            known for part in _without_one(word) for known in self._near.get(part, ())
        }
        close = [known for known in near if abs(len(known) - len(word)) <= 1]
        letters = sorted(word)
        return min(
            close,
            key=lambda known: (known[0] != word[0], sorted(known) != letters, known),
            default=word,
        )

    @cached_property
    def _near(self) -> dict[str, list[str]]:
        """Known words by what is left of them without a letter (symmetric deletes)."""
        near = defaultdict[str, list[str]](list)
        for known in self._row_of:
            if len(known) >= _LEAST_MISSPELT_LETTERS - 1:
                for part in _without_one(known):
                    near[part].append(known)
        return dict(near)


def _without_one(word: str) -> set[str]:
    """Return the word, and what is left of it without each of its letters."""
    return {word} | {word[:at] + word[at + 1 :] for at in range(len(word))}


def above_chance(
    cosines: NDArray[np.float32], chance: float = CHANCE
) -> NDArray[np.float32]:
    """Return from 0 to 1 how much closer than by chance; 0 where it is no closer."""
    close: NDArray[np.float32] = np.maximum(cosines - chance, 0) / (1 - chance)
    return close


def save_word_vectors(
    path: Path, words: Iterable[str], vectors: NDArray[np.float32]
) -> None:
    """Write vectors as bytes, each with a scale of its own: a quarter of the size."""
    scales = np.abs(vectors).max(axis=1, keepdims=True) / 127
    scales = np.maximum(scales, np.finfo(np.float32).tiny)
    np.savez_compressed(
        path,
        words=np.array("\n".join(words)),
        vectors=np.round(vectors / scales).astype(np.int8),
        scales=scales.astype(np.float32),
    )


def load_word_vectors(path: Path) -> WordVectors:
    """Return the vectors of a file; raises OSError or ValueError if it is none."""
    with np.load(path, allow_pickle=False) as saved:
        words = str(saved["words"]).split("\n")
        vectors = saved["vectors"].astype(np.float32) * saved["scales"]
    if len(words) != len(vectors):
        raise ValueError(f"{path} has {len(words)} words, {len(vectors)} vectors")
    return WordVectors(words, vectors)
