"""How close passages are to a question in meaning, where they share no word with it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from inference.word_vectors import WordVectors, above_chance, load_word_vectors
from support.knowledge.sentences import split_lines
from support.knowledge.vocabulary import PassageText

# A search asks about its question twice; other threads may be searching meanwhile.
_MAX_QUESTIONS = 16


class MeaningIndex:
    """The sentences of all passages as vectors; built at once and never changed."""

    def __init__(self, vectors: WordVectors, passages: Iterable[PassageText]) -> None:
        self._vectors = vectors
        texts: list[str] = []
        owners: list[int] = []
        self._passage_ids: list[int] = []
        for number, passage in enumerate(passages):
            self._passage_ids.append(passage.passage_id)
            own = split_lines(passage.text)
            texts += own
            owners += [number] * len(own)
        self._sentences = vectors.embed(texts)
        self._row_of = {text: row for row, text in enumerate(texts)}
        self._owners = np.array(owners, dtype=np.intp)
        self._embed_question = lru_cache(_MAX_QUESTIONS)(
            lambda question: vectors.embed([question])[0]
        )

    def closeness(self, question: str) -> dict[int, float]:
        """Return by passage how close its closest sentence is, from 0 to 1.

        Passages that are no closer than by chance are left out.
        """
        best = np.zeros(len(self._passage_ids), dtype=np.float32)
        close = above_chance(self._sentences @ self._embed_question(question))
        np.maximum.at(best, self._owners, close)
        return {self._passage_ids[i]: float(best[i]) for i in np.flatnonzero(best)}

    def sentence_closeness(
        self, question: str, sentences: Sequence[str]
    ) -> list[float]:
        """Return how close each of some sentences is, from 0 to 1.

        Quicker for sentences of the passages, whose vectors are known: a passage that
        has changed since they were computed is compared as it is now.
        """
        directions = self._read_directions(sentences)
        close = above_chance(directions @ self._embed_question(question))
        return [float(one) for one in close]

    def _read_directions(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        rows = [self._row_of[text] for text in sentences if text in self._row_of]
        if len(rows) < len(sentences):
            return self._vectors.embed(sentences)
        return self._sentences[rows]


@lru_cache(maxsize=1)
def bundled_vectors() -> WordVectors:
    """Return the word vectors that ship with the project."""
    return load_word_vectors(settings.BUNDLED_WORDS_PATH)
