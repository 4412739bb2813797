"""Finds the known word that a misspelt one stands for."""

from collections import Counter, defaultdict
from collections.abc import Mapping

_MIN_CHARACTERS = 4
_MIN_SIMILARITY = 0.2
_MAX_CANDIDATES = 20
_SHORT_WORD = 5
_LONG_WORD = 8


class Speller:
    """The words of a site's articles by their trigrams."""

    def __init__(self, word_counts: Mapping[str, int]) -> None:
        self._counts = word_counts
        self._words_of: dict[str, list[str]] = defaultdict(list)
        for word in word_counts:
            if len(word) >= _MIN_CHARACTERS and word.isalpha():
                for trigram in trigrams(word):
                    self._words_of[trigram].append(word)

    def correct(self, word: str) -> str | None:
        """Return the nearest known word, or None if nothing is near.

        One slip is forgiven, two from eight letters on, none in the first letter, where
        they are rare, and no wrong letter in words up to five, as "cafe" is not "cake".
        Of equals the more frequent word wins. Numbers are never corrected.
        """
        if len(word) < _MIN_CHARACTERS or not word.isalpha():
            return None
        wanted = trigrams(word)
        shared = Counter(
            known
            for trigram in wanted
            for known in self._words_of.get(trigram, ())
            if known[0] == word[0]
        )
        near: list[tuple[int, float, int, str]] = []
        for known, count in shared.most_common(_MAX_CANDIDATES):
            similarity = 2 * count / (len(wanted) + len(trigrams(known)))
            num_slips = slips(word, known)
            if similarity >= _MIN_SIMILARITY and num_slips <= _allowed(word, known):
                near.append((-num_slips, similarity, self._counts[known], known))
        return max(near)[-1] if near else None


def _allowed(word: str, known: str) -> int:
    """Return how many slips are forgiven between two words."""
    if len(word) >= _LONG_WORD:
        return 2
    is_short = len(word) == len(known) <= _SHORT_WORD
    return 0 if is_short and sorted(word) != sorted(known) else 1


def trigrams(word: str) -> set[str]:
    """Return the sequences of three letters in a word with a space on either side."""
    padded = f" {word} "
    return {padded[start : start + 3] for start in range(len(padded) - 2)}


def slips(word: str, other: str) -> int:
    """Return how many letters are added, missing, wrong or swapped.

    The optimal string alignment distance; O(len(word) * len(other)).
    """
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(word, start=1):
        row = [i]
        for j, wanted in enumerate(other, start=1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (letter != wanted)))
            is_swap = i > 1 and j > 1 and word[i - 2 : i] == wanted + other[j - 2]
            if is_swap:
                row[j] = min(row[j], before[j - 2] + 1)
        before, last = last, row
    return last[-1]
