"""What words mean in support questions, as vectors: light enough for every process.

They are learned with the bundled model, from the same texts (lab/train/words.py), so
that "voucher" lies near "gift card" and "give back" near "return". English only: of
other languages they know nothing, and say so with zeros.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Texts about different things are this close by chance.
CHANCE = 0.3

_WORD = re.compile(r"[a-z]+")


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

    def closeness(self, question: str, sentences: Iterable[str]) -> list[float]:
        """Return how close each sentence is to a question, from 0 (chance) to 1."""
        (asked,) = self.embed([question])
        return [float(one) for one in above_chance(self.embed(sentences) @ asked)]


def above_chance(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return from 0 to 1 how much closer than by chance; 0 where it is no closer."""
    close: NDArray[np.float32] = np.maximum(cosines - CHANCE, 0) / (1 - CHANCE)
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
