"""Chooses what to quote to a customer when no model can answer."""

from collections.abc import Sequence

from support.knowledge.retrieval import RetrievedPassage

# A model reads three passages and refuses what does not fit; a quote has nobody to do
# so. Chosen on the 70 questions of tests/support/development_questions.jsonl
# (docs/operator.md): 42 get a quote, 35 of the right article and 29 with the very
# fact that was asked for; of 14 that the articles do not answer 2 get one.
MIN_SCORE = 0.65


def choose_excerpt(passages: Sequence[RetrievedPassage]) -> RetrievedPassage | None:
    """Return the passage to quote, None if none fits well enough."""
    best = max(passages, key=lambda passage: passage.score, default=None)
    return best if best is not None and best.score >= MIN_SCORE else None
