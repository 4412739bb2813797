"""What kind of answer a question wants, and whether a text holds one: English only.

"How much is it?" is answered by a price and "until when?" by a time, whatever other
words stand there. Tells the sections of one article apart.
"""

import re
from enum import Enum, auto


class AnswerKind(Enum):
    """What an answer must hold."""

    PRICE = auto()
    TIME = auto()


_ASKED = {
    AnswerKind.PRICE: re.compile(
        r"how much|\bcosts?\b|\bprices?\b|\bfees?\b|expensive|\bpay(?:ing)?\b|"
        r"\bfree\b|\bworth\b",
        re.IGNORECASE,
    ),
    AnswerKind.TIME: re.compile(
        r"how (?:quickly|soon|fast|late|old)|how long(?! (?:is|are) the)|\bwhen\b|"
        r"until|deadline|how many (?:hours|days|weeks|months)|\blatest\b|last day|"
        r"\bhours\b",
        re.IGNORECASE,
    ),
}
_GIVEN = {
    AnswerKind.PRICE: re.compile(r"[$€£]\s?\d|\bpercent\b|\d ?%|\bfree\b|no charge"),
    AnswerKind.TIME: re.compile(
        r"\b\d+ (?:extra |working |full |more )*"
        r"(?:minute|hour|day|week|month|year)s?\b|"
        r"\b\d+ [ap]m\b|at once|immediately|day from"
    ),
}


def wanted_kinds(question: str) -> frozenset[AnswerKind]:
    """Return the kinds of answer that a question asks for; often none."""
    return frozenset(kind for kind, cue in _ASKED.items() if cue.search(question))


def holds_kind(text: str, kinds: frozenset[AnswerKind]) -> bool:
    """Return whether a text holds an answer of one of the kinds."""
    return any(_GIVEN[kind].search(text) for kind in kinds)
