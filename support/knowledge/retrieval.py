"""Finds the passages that a reply is made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from django.db.models import Count, Max, Sum

from support.knowledge.articles import as_text
from support.knowledge.index import open_index
from support.knowledge.searcher import Searcher
from support.knowledge.vocabulary import PassageText, Vocabulary
from support.models import Article, Passage

MAX_PASSAGES = 3

# What scores less is not shown to the model, unless it has every word of the question.
# Measured: keeps 96 % of 182 questions that the sample articles answer and drops two
# thirds of 82 that they do not; the model sees the rest and was taught to refuse.
MIN_SCORE = 0.35


@dataclass(frozen=True, slots=True)
class RetrievedPassage:
    """A passage as the model sees it, and where the customer can read it."""

    passage_id: int
    article_id: int
    title: str
    heading: str
    text: str
    url: str
    score: float


def retrieve(
    question: str, earlier: Sequence[str] = (), limit: int = MAX_PASSAGES
) -> list[RetrievedPassage]:
    """Return the passages that may answer a question, best first; empty if none do.

    `earlier` are the questions before, in order: "and in winter?" is read with the
    last of them. Four queries, and one more after an article has changed.
    """
    searcher = Searcher(open_index(), _vocabulary(), _read_published)
    found = searcher.search(question, earlier)
    scores = {
        item.passage.passage_id: item.score
        for item in found[:limit]
        if item.score >= MIN_SCORE or item.is_complete
    }
    rows = Passage.objects.select_related("article").in_bulk(scores)
    return [
        _build_retrieved(rows[passage_id], score)
        for passage_id, score in scores.items()
        if passage_id in rows
    ]


def _build_retrieved(passage: Passage, score: float) -> RetrievedPassage:
    return RetrievedPassage(
        passage_id=passage.pk,
        article_id=passage.article_id,
        title=passage.article.title,
        heading=passage.heading,
        text=passage.text,
        url=passage.get_absolute_url(),
        score=round(score, 3),
    )


def _read_published(passage_ids: Iterable[int]) -> list[PassageText]:
    """Return the passages of published articles; the index may know more. One query."""
    passages = Passage.objects.filter(
        pk__in=list(passage_ids), article__is_published=True
    )
    return [as_text(passage) for passage in passages.select_related("article")]


# The vocabulary of the articles as they were at `_state`; one for each process.
_lock = Lock()
_known: tuple[object, Vocabulary] | None = None


def _vocabulary() -> Vocabulary:
    """Return the vocabulary of the published articles as they are now.

    One query, and a second to build it again when an article was added, changed or
    removed by any process: about 0.2 ms for each passage.
    """
    global _known
    published = Article.objects.filter(is_published=True)
    state = tuple(
        published.order_by()
        .aggregate(Count("pk"), Max("pk"), Max("updated_at"), Sum("version"))
        .values()
    )
    with _lock:
        if _known is None or _known[0] != state:
            passages = Passage.objects.filter(article__in=published)
            texts = map(as_text, passages.select_related("article").order_by("pk"))
            _known = (state, Vocabulary(texts))
        return _known[1]
