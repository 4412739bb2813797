"""Keeps a model to the words of its sources: a sentence once begun is quoted whole.

A small model finds the sentence that answers but may slip inside it, from one half
known word to the next, and then states a wrong fact. So when the tokens since the
last sentence end are the beginning of exactly what a source says, only tokens that
go on quoting it are allowed, up to the sentence's end. What begins otherwise, such as
a greeting or a refusal, is free.

A form of constrained decoding (compare `guided_choice` of vLLM), decided anew at
every sentence.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# So many tokens must agree before a sentence counts as begun: fewer would drag "You"
# or "I" of a free sentence into a quotation.
MIN_TOKENS = 3


def ends_sentence(piece: bytes) -> bool:
    """Return whether a token's bytes end a sentence, as far as one token can tell."""
    return piece.rstrip()[-1:] in (b".", b"!", b"?") or b"\n" in piece


@dataclass(frozen=True, slots=True)
class Source:
    """A sentence to quote; `lean` is added to the logits of the tokens that begin it."""

    tokens: tuple[int, ...]
    lean: float = 0.0


class Quoter:
    """Watches one reply.

    A sentence that may stand first or after another one comes in both forms, with
    and without the space before it.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = [source for source in sources if source.tokens]
        self._candidates = self._sources
        self._num_matched = 0

    def restrict(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with what would break a begun quotation ruled out.

        Before it counts as begun, tokens that would begin or continue one gain the
        largest lean of their sources. Logits of shape (n_vocab,); the argument is
        not changed.
        """
        leans = self._next_tokens()
        if not leans:
            return logits
        tokens = list(leans)
        gained = logits[tokens] + np.array(list(leans.values()), dtype=np.float32)
        is_begun = self._num_matched >= MIN_TOKENS
        result = np.full_like(logits, -np.inf) if is_begun else logits.copy()
        result[tokens] = gained
        return result

    def take(self, token: int, *, ends_sentence: bool) -> None:
        """Note the token that was chosen and whether it ends a sentence."""
        at = self._num_matched
        self._candidates = [
            source
            for source in self._candidates
            if len(source.tokens) > at and source.tokens[at] == token
        ]
        self._num_matched += 1
        is_quoted = any(len(s.tokens) == at + 1 for s in self._candidates)
        if is_quoted or (ends_sentence and not self._is_quoting):
            self._candidates, self._num_matched = self._sources, 0

    @property
    def _is_quoting(self) -> bool:
        return bool(self._candidates) and self._num_matched >= MIN_TOKENS

    def _next_tokens(self) -> dict[int, float]:
        """Return the tokens that go on with what is being quoted, with their leans."""
        at = self._num_matched
        leans: dict[int, float] = {}
        for source in self._candidates:
            if len(source.tokens) > at:
                token = source.tokens[at]
                leans[token] = max(source.lean, leans.get(token, 0.0))
        return leans
