"""Keeps a model to the words of its sources: a sentence once begun is quoted whole.

A small model finds the sentence that answers but may slip inside it, from one half
known word to the next, and then states a wrong fact. So when the tokens since the
last sentence end are the beginning of exactly what a source says, only tokens that
go on quoting it are allowed, up to the sentence's end. What begins otherwise, such as
a greeting or a refusal, is free.

A form of constrained decoding (compare `guided_choice` of vLLM), decided anew at
every sentence.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

# So many tokens must agree before a sentence counts as begun: fewer would drag "You"
# or "I" of a free sentence into a quotation.
MIN_TOKENS = 3


def ends_sentence(piece: bytes) -> bool:
    """Return whether a token's bytes end a sentence, as far as one token can tell."""
    return piece.rstrip()[-1:] in (b".", b"!", b"?") or b"\n" in piece


class Quoter:
    """Watches one reply; `sources` are the token ids of the sentences to quote.

    A sentence that may stand first or after another one comes in both forms, with
    and without the space before it.
    """

    def __init__(self, sources: Iterable[Sequence[int]], lean: float = 0.0) -> None:
        self._sources = [tuple(source) for source in sources if source]
        self._lean = lean
        self._candidates = self._sources
        self._num_matched = 0

    def restrict(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with what would break a begun quotation ruled out.

        Before it counts as begun, tokens that would begin or continue one gain
        `lean`. Logits of shape (n_vocab,); the argument is not changed.
        """
        wanted = self._next_tokens()
        if not wanted:
            return logits
        if self._num_matched < MIN_TOKENS:
            if not self._lean:
                return logits
            leaning = logits.copy()
            leaning[wanted] += self._lean
            return leaning
        allowed = np.full_like(logits, -np.inf)
        allowed[wanted] = logits[wanted]
        return allowed

    def take(self, token: int, ends_sentence: bool) -> None:
        """Note the token that was chosen and whether it ends a sentence."""
        at = self._num_matched
        self._candidates = [
            source
            for source in self._candidates
            if len(source) > at and source[at] == token
        ]
        self._num_matched += 1
        is_quoted = any(len(source) == at + 1 for source in self._candidates)
        if is_quoted or (ends_sentence and not self._is_quoting):
            self._candidates, self._num_matched = self._sources, 0

    @property
    def _is_quoting(self) -> bool:
        return bool(self._candidates) and self._num_matched >= MIN_TOKENS

    def _next_tokens(self) -> list[int]:
        """Return the tokens that go on with what is being quoted."""
        at = self._num_matched
        return list({s[at] for s in self._candidates if len(s) > at})
