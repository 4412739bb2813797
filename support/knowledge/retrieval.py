"""Finds the passages that a reply is made from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from django.db import connection

from support.knowledge.articles import as_text
from support.knowledge.index import open_index
from support.knowledge.meanings import MeaningIndex, bundled_vectors
from support.knowledge.query import Query, build_query
from support.knowledge.ranking import Ranked, score_sentence
from support.knowledge.searcher import Searcher
from support.knowledge.sentences import split_lines
from support.knowledge.vocabulary import PassageText, Vocabulary
from support.models import Article, Passage

MAX_PASSAGES = 3

# Where the best passage scores less, nothing is shown to the model, unless one has
# every word of the question. Measured: keeps 97 % of 182 questions that the sample
# articles answer and drops more than half of 82 that they do not; the model sees the
# rest and was taught to refuse.
MIN_SCORE = 0.3

# Of the best score. Measured: drops one passage in six, which could only mislead, and
# with them one fact of 182.
MIN_SHARE = 0.7


# A sentence is judged by its own words and by how well its passage fits.
_PASSAGE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ScoredSentence:
    """A sentence of a passage, and how well it fits the question, at least 0."""

    text: str
    score: float


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
    sentences: tuple[ScoredSentence, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What is computed from all passages before the first question."""

    rows: Mapping[int, Passage]
    vocabulary: Vocabulary
    meanings: MeaningIndex

    def read(self, passage_ids: Iterable[int]) -> list[PassageText]:
        """Return the passages with these ids; the index may know newer ones."""
        return [as_text(self.rows[key]) for key in passage_ids if key in self.rows]


def retrieve(
    question: str,
    earlier: Sequence[str] = (),
    limit: int = MAX_PASSAGES,
    min_share: float = MIN_SHARE,
) -> list[RetrievedPassage]:
    """Return the passages that may answer a question, best first; empty if none do.

    `earlier` are the questions before, in order: "and in winter?" is read with the
    last of them. `min_share` is of the best score. Two queries on Postgres, three on
    SQLite, and one more after an article has changed.
    """
    known = _read_known()
    searcher = Searcher(open_index(), known.vocabulary, known.meanings, known.read)
    query = build_query(question, known.vocabulary, earlier)
    found = searcher.find(query)[:limit]
    scores = {item.passage.passage_id: item.score for item in _choose(found, min_share)}
    return [
        _build_retrieved(known.rows[passage_id], score, query, known)
        for passage_id, score in scores.items()
    ]


def warm_up() -> None:
    """Load vectors and articles and search once, for the first visitor's sake."""
    retrieve("How can we help you?")


def _choose(found: Sequence[Ranked], min_share: float) -> list[Ranked]:
    """Return what is good enough, of passages that stand best first."""
    complete = [item for item in found if item.is_complete]
    if not complete and (not found or found[0].score < MIN_SCORE):
        return []
    return [item for item in found if item.score >= min_share * found[0].score]


def _build_retrieved(
    passage: Passage, score: float, query: Query, known: _Known
) -> RetrievedPassage:
    sentences = split_lines(passage.text)
    closeness = known.meanings.sentence_closeness(query.text, sentences)
    return RetrievedPassage(
        passage_id=passage.pk,
        article_id=passage.article_id,
        title=passage.article.title,
        heading=passage.heading,
        text=passage.text,
        url=passage.get_absolute_url(),
        score=round(score, 3),
        sentences=tuple(
            ScoredSentence(
                text,
                score_sentence(query, text, known.vocabulary, close)
                + _PASSAGE_SHARE * score,
            )
            for text, close in zip(sentences, closeness, strict=True)
        ),
    )


_STATE = (
    "SELECT count(*), max(id), max(updated_at), sum(version) "
    "FROM support_article WHERE is_published"
)

# What is known of the articles as they were at `_state`; one for each process.
_lock = Lock()
_known: tuple[object, _Known] | None = None


def _read_state() -> object:
    """Return what changes whenever a published article does. One query.

    In SQL, as every reply asks: to put it together takes Django longer than the
    database needs to answer it (0.8 of 1.3 ms, measured).
    """
    with connection.cursor() as cursor:
        cursor.execute(_STATE)
        state: object = cursor.fetchone()
    return state


def _read_known() -> _Known:
    """Return what is known of the published articles as they are now.

    One query, and a second to build it again when an article was added, changed or
    removed by any process: about 0.2 ms for each passage.
    """
    global _known
    state = _read_state()
    with _lock:
        if _known is None or _known[0] != state:
            published = Article.objects.filter(is_published=True)
            passages = Passage.objects.filter(article__in=published)
            # bodies stand in the passages, cut into pieces
            rows = passages.select_related("article").defer("article__body")
            by_id = {row.pk: row for row in rows.order_by("pk")}
            texts = [as_text(row) for row in by_id.values()]
            vocabulary = Vocabulary(texts)
            meanings = MeaningIndex(bundled_vectors(), texts)
            _known = (state, _Known(by_id, vocabulary, meanings))
        return _known[1]
