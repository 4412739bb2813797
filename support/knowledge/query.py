"""Questions become weighted stems to search for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from support.knowledge.answer_kinds import AnswerKind, wanted_kinds
from support.knowledge.lexicon import find_related, is_known
from support.knowledge.stemmer import stem
from support.knowledge.vocabulary import Vocabulary
from support.knowledge.words import STOP_STEMS, read_stems, read_words

_EARLIER_WEIGHT = 0.5

_FOLLOW_UP = re.compile(
    r"^(?:and|but|or|what about|how about|also|then|so)\b|"
    r"\b(?:it|its|that|those|them|they|this|these|one|ones|there|same)\b",
    re.IGNORECASE,
)
_MAX_FOLLOW_UP_STEMS = 3


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: stems by weight, and the pairs that stood side by side.

    `text` is what was asked, for a follow-up with the question before it.
    `asked` are the stems of the question itself, spelling corrected; `weights` also
    hold, for a follow-up, those of the question before. `related` mean the same as
    something in the question and are not among them. `unknown_share` of the asked
    stems is in no article and not in the lexicon.
    """

    text: str
    asked: Sequence[str]
    weights: dict[str, float] = field(default_factory=dict)
    related: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()
    unknown_share: float = 0.0
    wanted: frozenset[AnswerKind] = frozenset()


def build_query(
    question: str, vocabulary: Vocabulary, earlier: Sequence[str] = ()
) -> Query:
    """Return the query for a question; `earlier` are the questions before, in order.

    A follow-up ("and in winter?") is read together with the question before it.
    Empty when the question says nothing that could be looked up.
    """
    stems = _spell(question, vocabulary)
    asked = _content(stems)
    weights = dict.fromkeys(asked, 1.0)
    text = question
    if earlier and is_follow_up(question, asked):
        text = f"{earlier[-1]} {question}"
        for known in _content(_spell(earlier[-1], vocabulary)):
            weights.setdefault(known, _EARLIER_WEIGHT)
    unknown = [word for word in asked if word not in vocabulary and not is_known(word)]
    return Query(
        text=text,
        asked=asked,
        weights=weights,
        related=frozenset(find_related(stems) - weights.keys() if weights else ()),
        pairs=frozenset(
            pair for pair in pairwise(stems) if not STOP_STEMS.issuperset(pair)
        ),
        unknown_share=len(unknown) / len(asked) if asked else 0.0,
        wanted=wanted_kinds(question),
    )


def is_follow_up(question: str, asked: Sequence[str]) -> bool:
    """Return whether a question only makes sense after the one before it."""
    is_short = len(asked) <= _MAX_FOLLOW_UP_STEMS
    return is_short and _FOLLOW_UP.search(question) is not None


def _spell(question: str, vocabulary: Vocabulary) -> list[str]:
    """Return the stems of a question, with unknown words corrected where possible."""
    stems = []
    for word, found in zip(read_words(question), read_stems(question), strict=True):
        is_fine = found in vocabulary or found in STOP_STEMS or is_known(found)
        correct = None if is_fine else vocabulary.speller.correct(word)
        stems.append(stem(correct) if correct else found)
    return stems


def _content(stems: Sequence[str]) -> list[str]:
    return [word for word in dict.fromkeys(stems) if word not in STOP_STEMS]
