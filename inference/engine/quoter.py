"""Lets a model choose a sentence of its sources by its mark, and keeps it to the words.

A reply begins with the mark of a sentence (marks.py) or with words of the model's own,
such as a greeting or a refusal. After a mark comes what the marked sentence says, word
for word: a small model finds the sentence that answers but may slip inside it, from
one half known word to the next, and then states a wrong fact.

A form of constrained decoding (compare `guided_choice` of vLLM). Marks are for the
model; the customer reads none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

MAX_QUOTATIONS = 2

# "Hello!", "I can help with that.": what does not end by then is left out.
MAX_LEAD_IN_TOKENS = 10


@dataclass(frozen=True, slots=True)
class Source:
    """A sentence to quote with its mark, as tokens.

    The first `num_silent` tokens, of which the first one chooses the sentence, are
    not for the customer. `weight`, at least 0, is how well it fits the question.
    """

    tokens: tuple[int, ...]
    num_silent: int
    weight: float = 0.0

    @property
    def mark(self) -> int:
        """The token that chooses this sentence."""
        return self.tokens[0]


@dataclass(frozen=True, slots=True)
class QuotePolicy:
    """How much the weights of the sources count beside the model's own choice.

    `lean` times what a source's weight is above `doubt` is added to the logit of its
    mark; below, it is taken away, which is in favour of a refusal. A second sentence
    is quoted if it is nearly as likely: at least `also_from` times as likely as the
    first. Above 1 none is, but for those that the model itself goes on to.
    """

    lean: float = 0.0
    doubt: float = 0.0
    also_from: float = 2.0


class _Phase(Enum):
    CHOOSING = auto()  # a mark, or words of the model's own
    OPENING = auto()  # the sentence, or a lead-in such as "Hello!"
    LEADING_IN = auto()
    QUOTING = auto()
    BETWEEN = auto()  # another mark, or the end
    CHOOSING_MORE = auto()
    FREE = auto()
    DONE = auto()


class Quoter:
    """Watches one reply. `separator` is the token before a later sentence's mark."""

    def __init__(
        self, sources: Iterable[Source], separator: int, policy: QuotePolicy
    ) -> None:
        self._unquoted = {source.mark: source for source in sources}
        self._separator = separator
        self._policy = policy
        self._phase = _Phase.CHOOSING
        self._scores: dict[int, float] = {}
        self._second: Source | None = None
        self._num_quoted = 0
        self._rest: tuple[int, ...] = ()
        self._num_silent = 0
        self._num_lead_in = 0
        self._lead_in = b""
        self._has_spoken = False

    @property
    def is_done(self) -> bool:
        """Whether the reply is complete, whatever the model would go on to write."""
        return self._phase is _Phase.DONE

    def expected(self) -> tuple[int, ...]:
        """Return the tokens that come next, none where the model is free to choose."""
        return self._rest if self._phase is _Phase.QUOTING else ()

    def restrict(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with leans added and what is no quotation ruled out.

        Logits of shape (n_vocab,); the argument is not changed.
        """
        if self._phase in {_Phase.CHOOSING, _Phase.CHOOSING_MORE}:
            return self._weigh(logits)
        if self._phase is _Phase.QUOTING:
            return _only(self._rest[:1], logits)
        return logits

    def take(self, token: int, piece: bytes) -> bytes:
        """Note the token that was chosen; return what the customer reads of it."""
        is_silent = self._advance(token, piece)
        if is_silent:
            return b""
        if self._lead_in:  # complete, and held back until it was
            piece, self._lead_in = self._lead_in, b""
        said = piece if self._has_spoken else piece.lstrip()
        self._has_spoken = self._has_spoken or bool(said)
        return said

    def _advance(self, token: int, piece: bytes) -> bool:
        """Go on to the next phase; return whether the token is not for the customer."""
        match self._phase:
            case _Phase.CHOOSING | _Phase.CHOOSING_MORE:
                return self._choose(token)
            case _Phase.QUOTING:
                return self._quote()
            case _Phase.OPENING if token == self._rest[0]:
                return self._quote()
            case _Phase.OPENING | _Phase.LEADING_IN:
                return self._lead(piece)
            case _Phase.BETWEEN:
                goes_on = token == self._separator and self._num_quoted < MAX_QUOTATIONS
                self._phase = _Phase.CHOOSING_MORE if goes_on else _Phase.DONE
                return True
            case _:
                return False

    def _lead(self, piece: bytes) -> bool:
        """Take a token of a lead-in; return whether it is held back or left out."""
        self._num_lead_in += 1
        self._lead_in += piece
        ends = piece.rstrip()[-1:] in (b".", b"!", b"?")
        is_too_long = self._num_lead_in >= MAX_LEAD_IN_TOKENS
        if is_too_long and not ends:
            self._lead_in = b""
        self._phase = _Phase.QUOTING if ends or is_too_long else _Phase.LEADING_IN
        return not ends

    def _weigh(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the leans to the marks; once something was quoted, allow only marks."""
        is_more = self._phase is _Phase.CHOOSING_MORE
        result = _only(self._unquoted, logits) if is_more else logits.copy()
        for mark, source in self._unquoted.items():
            result[mark] += self._policy.lean * (source.weight - self._policy.doubt)
        self._scores = {mark: float(result[mark]) for mark in self._unquoted}
        return result

    def _choose(self, token: int) -> bool:
        source = self._unquoted.pop(token, None)
        if source is None:
            self._phase = _Phase.FREE
            return False
        if self._num_quoted == 0:
            self._second = self._find_second(self._scores[token])
        self._num_quoted += 1
        self._rest = source.tokens[1:]
        self._num_silent = source.num_silent - 1
        self._phase = _Phase.QUOTING
        return True

    def _find_second(self, score: float) -> Source | None:
        """Return the sentence that is nearly as likely as the chosen one, if any."""
        if not self._unquoted or self._policy.also_from <= 0:
            return None
        mark = max(self._unquoted, key=self._scores.__getitem__)
        is_near = self._scores[mark] >= score + float(np.log(self._policy.also_from))
        return self._unquoted[mark] if is_near else None

    def _quote(self) -> bool:
        """Take a token of a quotation; return whether it still belongs to the mark."""
        is_silent = self._num_silent > 0
        self._rest = self._rest[1:]
        self._num_silent -= is_silent
        opens = is_silent and self._num_silent == 0 and self._num_quoted == 1
        if self._rest:
            self._phase = _Phase.OPENING if opens else _Phase.QUOTING
        else:
            self._end_quotation()
        return is_silent

    def _end_quotation(self) -> None:
        self._phase = _Phase.BETWEEN
        if self._second is not None:
            second = self._unquoted.pop(self._second.mark)
            self._second = None
            self._num_quoted += 1
            self._rest = (self._separator, *second.tokens)
            self._num_silent = 1 + second.num_silent
            self._phase = _Phase.QUOTING
        elif not self._unquoted or self._num_quoted >= MAX_QUOTATIONS:
            self._phase = _Phase.DONE


def _only(tokens: Iterable[int], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    allowed = list(tokens)
    result = np.full_like(logits, -np.inf)
    result[allowed] = logits[allowed]
    return result
