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

MAX_QUOTATIONS = 2


def ends_sentence(piece: bytes) -> bool:
    """Return whether a token's bytes end a sentence, as far as one token can tell."""
    return piece.rstrip()[-1:] in (b".", b"!", b"?") or b"\n" in piece


@dataclass(frozen=True, slots=True)
class Source:
    """A sentence to quote, as tokens for the first place in a reply and for later ones.

    The forms differ by the space before it. `weight`, at least 0, is how well it
    fits the question.
    """

    first: tuple[int, ...]
    later: tuple[int, ...]
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class QuotePolicy:
    """How much the sources weigh against the model's own choice.

    `lean` times what a source's weight is above `doubt` is added to the logits of the
    tokens that begin it; below, it is taken away, which is in favour of a refusal.
    After the first quotation comes a second one, if a source fits nearly as well:
    its weight is at least `also_from` times that of the first. Above 1 none does.
    """

    lean: float = 0.0
    doubt: float = 0.0
    also_from: float = 2.0


class Quoter:
    """Watches one reply."""

    def __init__(self, sources: Iterable[Source], policy: QuotePolicy) -> None:
        self._unquoted = [source for source in sources if source.first]
        self._policy = policy
        self._num_quoted = 0
        self._num_said = 0
        self._is_bound = False
        self._num_matched = 0
        self._candidates: list[tuple[Source, tuple[int, ...]]] = []
        self._begin_sentence(self._unquoted)

    def restrict(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with what would break a quotation ruled out.

        Before a quotation counts as begun, tokens that would begin or continue one
        gain the largest lean of their sources. Logits of shape (n_vocab,); the
        argument is not changed.
        """
        leans = self._next_tokens()
        if not leans:
            return logits
        tokens = list(leans)
        gained = logits[tokens] + np.array(list(leans.values()), dtype=np.float32)
        is_bound = self._is_bound or self._num_matched >= MIN_TOKENS
        result = np.full_like(logits, -np.inf) if is_bound else logits.copy()
        result[tokens] = gained
        return result

    def take(self, token: int, *, ends_sentence: bool) -> None:
        """Note the token that was chosen and whether it ends a sentence."""
        at = self._num_matched
        self._candidates = [
            (source, form)
            for source, form in self._candidates
            if len(form) > at and form[at] == token
        ]
        self._num_matched += 1
        self._num_said += 1
        quoted = [s for s, form in self._candidates if len(form) == self._num_matched]
        if quoted:
            self._end_quotation(quoted[0])
        elif ends_sentence and not self._is_quoting:
            self._begin_sentence(self._unquoted)

    @property
    def _is_content(self) -> bool:
        """Return whether enough was quoted: what follows is the model's own affair."""
        return self._num_quoted > 0 and not self._is_bound

    @property
    def _is_quoting(self) -> bool:
        return bool(self._candidates) and self._num_matched >= MIN_TOKENS

    def _begin_sentence(self, sources: Iterable[Source]) -> None:
        is_later = self._num_said > 0
        self._candidates = [
            (source, source.later if is_later else source.first) for source in sources
        ]
        self._num_matched = 0

    def _end_quotation(self, quoted: Source) -> None:
        """Go on to a second quotation where one fits nearly as well, else be free."""
        self._num_quoted += 1
        self._unquoted = [s for s in self._unquoted if s.first != quoted.first]
        least = quoted.weight * self._policy.also_from
        fitting = [s for s in self._unquoted if 0 < least <= s.weight]
        self._is_bound = bool(fitting) and self._num_quoted < MAX_QUOTATIONS
        self._begin_sentence(fitting if self._is_bound else self._unquoted)

    def _next_tokens(self) -> dict[int, float]:
        """Return the tokens that go on with what is being quoted, with their leans."""
        at = self._num_matched
        leans: dict[int, float] = {}
        if self._is_content and at < MIN_TOKENS:
            return leans
        for source, form in self._candidates:
            if len(form) > at:
                lean = self._policy.lean * (source.weight - self._policy.doubt)
                leans[form[at]] = max(lean, leans.get(form[at], lean))
        return leans
