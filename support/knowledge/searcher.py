"""Finds and ranks passages: index, vocabulary and rows come from the caller."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest

from support.knowledge.index import PassageIndex
from support.knowledge.meanings import MeaningIndex, bundled_vectors
from support.knowledge.query import Query, build_query
from support.knowledge.ranking import Ranked, rank_passages
from support.knowledge.vocabulary import PassageText, Vocabulary

# From 60 candidates on, more changed no first answer (docs/knowledge.md).
_MAX_ASKED = 40
_MAX_RELATED = 20
_MAX_CLOSE = 20


@dataclass(frozen=True, slots=True)
class Searcher:
    """Everything that a search needs; `read` loads passages by id, in any order."""

    index: PassageIndex
    vocabulary: Vocabulary
    meanings: MeaningIndex
    read: Callable[[Iterable[int]], Iterable[PassageText]]

    def search(self, question: str, earlier: Sequence[str] = ()) -> list[Ranked]:
        """Return what fits a question at all, best first.

        `earlier` are the questions before, in order. One look into the index and one
        read.
        """
        return self.find(build_query(question, self.vocabulary, earlier))

    def find(self, query: Query) -> list[Ranked]:
        """Like `search`, for a question that was read already."""
        if not query.weights:
            return []
        closeness = self.meanings.closeness(query.text)
        candidates = self.read(self._candidates(query, closeness))
        return rank_passages(query, candidates, self.vocabulary, closeness)

    def _candidates(self, query: Query, closeness: Mapping[int, float]) -> set[int]:
        asked, related = self.index.search_each(
            [(query.weights, _MAX_ASKED), (sorted(query.related), _MAX_RELATED)]
        )
        close = nlargest(_MAX_CLOSE, closeness, key=closeness.__getitem__)
        return {hit.passage_id for hit in [*asked, *related]} | set(close)


def build_memory_searcher(
    index: PassageIndex, passages: Sequence[PassageText]
) -> Searcher:
    """Return a searcher over `passages`, which are put into `index`."""
    index.add(passages)
    by_id = {passage.passage_id: passage for passage in passages}
    return Searcher(
        index,
        Vocabulary(passages),
        MeaningIndex(bundled_vectors(), passages),
        lambda ids: [by_id[key] for key in ids],
    )
