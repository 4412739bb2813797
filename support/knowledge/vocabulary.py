"""What is known about the words of all passages: how rare they are, how spelt."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from support.knowledge.spelling import Speller
from support.knowledge.words import read_stems, read_words

# Texts imagined beside the site's own that have none of its words. Without them a word
# in every passage of a small site would tell nothing, although customers' questions
# seldom hold it by chance.
_ELSEWHERE = 50

FIELDS = ("title", "heading", "text", "keywords", "summary")


@dataclass(frozen=True, slots=True)
class PassageText:
    """A passage with all that is searched of it; its article lends it most fields."""

    passage_id: int
    title: str
    heading: str
    text: str
    keywords: str
    summary: str

    def field(self, name: str) -> str:
        """Return the text of one of FIELDS."""
        return str(getattr(self, name))


class Vocabulary:
    """Counts over all passages; built at once and never changed.

    About 0.1 ms for each passage to build.
    """

    def __init__(self, passages: Iterable[PassageText]) -> None:
        self.num_passages = 0
        self._passages_with: Counter[str] = Counter()
        words: Counter[str] = Counter()
        lengths: Counter[str] = Counter()
        for passage in passages:
            self.num_passages += 1
            stems: set[str] = set()
            for name in FIELDS:
                text = passage.field(name)
                found = read_stems(text)
                stems.update(found)
                lengths[name] += len(found)
                words.update(read_words(text))
            self._passages_with.update(stems)
        self._num_texts = self.num_passages + _ELSEWHERE
        count = max(self.num_passages, 1)
        self._average_length = {name: lengths[name] / count or 1.0 for name in FIELDS}
        self.speller = Speller(words)

    def __contains__(self, stem: str) -> bool:
        return stem in self._passages_with

    def rarity(self, stem: str) -> float:
        """Return how much a stem tells (BM25's inverse document frequency), above 0.

        What no passage has is the rarest.
        """
        count = self._passages_with.get(stem, 0)
        return math.log(1 + (self._num_texts - count + 0.5) / (count + 0.5))

    @property
    def max_rarity(self) -> float:
        """What a stem tells that no passage has: the scale of scores on this site."""
        return math.log(1 + (self._num_texts + 0.5) / 0.5)

    def average_length(self, field: str) -> float:
        """Return the average number of words of a field, at least 1 if it is empty."""
        return self._average_length[field]
