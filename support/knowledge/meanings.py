"""How close passages are to a question in meaning, where they share no word with it."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from django.conf import settings

from inference.word_vectors import WordVectors, load_word_vectors
from support.knowledge.sentences import split_lines
from support.knowledge.vocabulary import PassageText

# Texts about different things are this close by chance.
_CHANCE = 0.4


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
        self._owners = np.array(owners, dtype=np.intp)

    def closeness(self, question: str) -> dict[int, float]:
        """Return by passage how close its closest sentence is, from 0 to 1.

        Passages that are no closer than by chance are left out.
        """
        best = np.zeros(len(self._passage_ids), dtype=np.float32)
        (asked,) = self._vectors.embed([question])
        np.maximum.at(best, self._owners, self._sentences @ asked - _CHANCE)
        close = np.flatnonzero(best)
        return {self._passage_ids[i]: float(best[i] / (1 - _CHANCE)) for i in close}

    def sentence_closeness(self, question: str, sentences: list[str]) -> list[float]:
        """Return how close each of some sentences is, from 0 to 1."""
        (asked,) = self._vectors.embed([question])
        close = (self._vectors.embed(sentences) @ asked - _CHANCE) / (1 - _CHANCE)
        return [max(0.0, float(one)) for one in close]


@lru_cache(maxsize=1)
def bundled_vectors() -> WordVectors:
    """Return the word vectors that ship with the project."""
    return load_word_vectors(settings.BUNDLED_WORDS_PATH)
