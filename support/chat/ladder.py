"""What a customer gets when no model answers: the rungs below one, best first.

    excerpt   the passage that fits best, quoted with its source
    apology   no more than that, and the offer of a person

Both are outcomes of a failed turn: they answer nothing, and are counted so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from inference.models import Rung
from support.knowledge.excerpts import choose_excerpt
from support.knowledge.retrieval import RetrievedPassage
from support.models import Notice

APOLOGY = (
    "I'm sorry, I could not answer this just now. Please try again in a moment. The "
    'button "Talk to a person" below marks your question for our team.'
)
EXCERPT = (
    "I cannot answer this myself just now. Nobody wrote the following for your "
    "question; it is the part of our help articles that fits it best."
)
# what Markdown would read as something else than text
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~])")


@dataclass(frozen=True, slots=True)
class Consolation:
    """What is said in place of an answer; `quoted` is the passage that it quotes."""

    content: str
    notice: Notice
    quoted: RetrievedPassage | None = None


def step_down(rung: Rung, passages: Sequence[RetrievedPassage]) -> Consolation:
    """Return what a rung offers for a question with these passages.

    The rung of models is where one comes from, so it means the next one.
    """
    passage = None if rung == Rung.APOLOGY else choose_excerpt(passages)
    if passage is None:
        return Consolation(APOLOGY, Notice.REPLY_FAILED)
    content = f"{EXCERPT}\n\n{_quote(passage.text)}"
    return Consolation(content, Notice.REPLY_EXCERPT, passage)


def _quote(text: str) -> str:
    """Return a passage, which is plain text, as a quotation in Markdown."""
    lines = [_MARKS.sub(r"\\\1", line.strip()) for line in text.splitlines()]
    return "\n".join(f"> {line}".rstrip() for line in lines)
