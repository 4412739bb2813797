"""Measures how often retrieval finds the right article."""

import csv
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.utils.text import slugify

from support.knowledge.importing import ImportFailed, SourceArticle
from support.knowledge.index import open_memory_index
from support.knowledge.passages import cut_passages
from support.knowledge.searcher import Searcher, build_memory_searcher
from support.knowledge.vocabulary import PassageText
from support.knowledge.words import content_stems

_PLAIN_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question, the articles that answer it, and the facts of a right answer.

    No article and no fact: nothing answers it.
    """

    question: str
    slugs: frozenset[str]
    earlier: Sequence[str] = ()
    facts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """Shares of all questions: right article first, among the first five, and so on.

    `recall_fact_at_3` counts the questions with facts only, None if there are none.
    """

    num_questions: int
    recall_at_1: float
    recall_at_5: float
    mean_reciprocal_rank: float
    recall_fact_at_3: float | None
    ms_per_question: float


@dataclass(frozen=True, slots=True)
class Corpus:
    """Articles that can be searched without a database."""

    searcher: Searcher
    slug_of: dict[int, str]

    def search(self, labelled: Labelled) -> list[PassageText]:
        """Return the passages in the order of the project's ranking."""
        found = self.searcher.search(labelled.question, labelled.earlier)
        return [item.passage for item in found]

    def search_plain(self, labelled: Labelled) -> list[PassageText]:
        """Return the passages in the order of the index alone, to compare with."""
        stems = dict.fromkeys(content_stems(labelled.question))
        hits = self.searcher.index.search(stems, _PLAIN_LIMIT)
        found = {
            passage.passage_id: passage
            for passage in self.searcher.read(hit.passage_id for hit in hits)
        }
        return [found[hit.passage_id] for hit in hits]


def build_corpus(sources: Iterable[SourceArticle]) -> Corpus:
    """Return the articles cut and indexed in memory."""
    passages: list[PassageText] = []
    slug_of: dict[int, str] = {}
    for source in sources:
        for cut in cut_passages(source.body):
            slug_of[len(passages)] = source.slug
            passages.append(
                PassageText(
                    passage_id=len(passages),
                    title=source.title,
                    heading=cut.heading,
                    text=cut.text,
                    keywords=source.keywords,
                    summary=source.summary,
                )
            )
    return Corpus(build_memory_searcher(open_memory_index(), passages), slug_of)


def read_questions(path: Path) -> list[Labelled]:
    """Return the questions of a CSV (text, category) or of a .jsonl file.

    A category names an article by its slug; "Card_arrival?" is `card-arrival`. A line
    of .jsonl has `question`, `article`, and maybe `also`, `fact` and `history`.
    Raises ImportFailed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportFailed(path, 1, f"cannot be read: {error}") from error
    if path.suffix == ".jsonl":
        lines = enumerate(text.splitlines(), start=1)
        return [_read_line(path, number, line) for number, line in lines if line]
    reader = csv.DictReader(text.splitlines(keepends=True))
    if not {"text", "category"} <= set(reader.fieldnames or []):
        raise ImportFailed(path, 1, "expected the columns text and category")
    return [
        Labelled(row["text"], frozenset([category_slug(row["category"])]))
        for row in reader
    ]


def category_slug(category: str) -> str:
    """Return the slug of the article that a category names."""
    return slugify(category.replace("_", "-"))


def measure(
    questions: Sequence[Labelled],
    corpus: Corpus,
    search: Callable[[Labelled], list[PassageText]],
) -> Measured:
    """Return how often `search` finds the right article; it needs one question."""
    asked = [labelled for labelled in questions if labelled.slugs]
    started = time.perf_counter()
    results = [search(labelled) for labelled in asked]
    duration_s = time.perf_counter() - started
    ranks = [
        _rank(labelled, found, corpus.slug_of)
        for labelled, found in zip(asked, results, strict=True)
    ]
    facts = [
        any(_holds(passage, labelled.facts) for passage in found[:3])
        for labelled, found in zip(asked, results, strict=True)
        if labelled.facts
    ]
    return Measured(
        num_questions=len(asked),
        recall_at_1=sum(rank == 1 for rank in ranks) / len(asked),
        recall_at_5=sum(rank is not None and rank <= 5 for rank in ranks) / len(asked),
        mean_reciprocal_rank=sum(1 / rank for rank in ranks if rank) / len(asked),
        recall_fact_at_3=sum(facts) / len(facts) if facts else None,
        ms_per_question=1000 * duration_s / len(asked),
    )


def _rank(
    labelled: Labelled, found: Iterable[PassageText], slug_of: dict[int, str]
) -> int | None:
    """Return the place of the first right article among the articles found, from 1."""
    slugs = dict.fromkeys(slug_of[passage.passage_id] for passage in found)
    for rank, slug in enumerate(slugs, start=1):
        if slug in labelled.slugs:
            return rank
    return None


def _holds(passage: PassageText, facts: Sequence[str]) -> bool:
    return all(fact in passage.text for fact in facts)


def _read_line(path: Path, number: int, line: str) -> Labelled:
    try:
        row = json.loads(line)
        article = row["article"]
        return Labelled(
            question=row["question"],
            slugs=frozenset([article, *row.get("also", [])] if article else []),
            earlier=tuple(row.get("history", [])),
            facts=tuple(row.get("fact") or []),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ImportFailed(path, number, f"not a question: {error!r}") from error
