"""Scores passages against a query.

BM25F (Robertson, Zaragoza: The Probabilistic Relevance Framework, 2009, section 3.6)
over the fields of a passage, plus what stands together: pairs of words as in the
question, and keywords or headings that the question holds as a whole. Plain Python
and the same for every database, so that a site that moves keeps its answers.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from support.knowledge.answer_kinds import holds_kind
from support.knowledge.query import Query
from support.knowledge.vocabulary import FIELDS, PassageText, Vocabulary
from support.knowledge.words import STOP_STEMS, content_stems, read_stems

# All numbers were chosen on 2,000 of the banking questions and checked on the sample
# questions; docs/knowledge.md has what each part brings.
_FIELD_WEIGHTS = {
    "title": 2.0,
    "heading": 2.0,
    "text": 1.0,
    "keywords": 1.5,
    "summary": 0.3,
}
# A related word tells one section from the next, but says less about the article.
_RELATED_FIELD_WEIGHTS = {
    "title": 0.75,
    "heading": 2.0,
    "text": 1.0,
    "keywords": 0.55,
    "summary": 0.1,
}
_RELATED_WEIGHT = 0.4
_LENGTH_WEIGHT = 0.5
_SATURATION = 3.0
_PAIR_WEIGHT = 0.15
_PHRASE_WEIGHT = 0.3
_RELATED_PHRASE_WEIGHT = 0.2
_KIND_BONUS = 0.12
_CLOSENESS_WEIGHT = 0.5
_SENTENCE_CLOSENESS_WEIGHT = 1.0
# Added, since the one sentence with the price need not share a word with the question.
_KIND_SCORE = 0.1


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage and how well it fits a query.

    `is_complete` where it has every content word of the question.
    """

    passage: PassageText
    score: float
    is_complete: bool


def rank_passages(
    query: Query,
    passages: Iterable[PassageText],
    vocabulary: Vocabulary,
    closeness: Mapping[int, float],
) -> list[Ranked]:
    """Return the passages that share anything with the query, best first.

    `closeness` has how close passages are in meaning, from 0 to 1, by their ids.
    Linear in the passages, about 0.05 ms each. Scores can be compared between
    questions and sites: 1 is what one word brings that no other passage has, and
    words that the site does not know at all lower every score.
    """
    known_share = 1 - query.unknown_share
    scale = known_share / vocabulary.max_rarity
    ranked = [
        Ranked(
            passage,
            score=scale * score_passage(query, passage, vocabulary)
            + known_share * _CLOSENESS_WEIGHT * closeness.get(passage.passage_id, 0.0),
            is_complete=_has_all(query, passage),
        )
        for passage in passages
    ]
    found = [item for item in ranked if item.score > 0]
    return sorted(found, key=lambda item: (-item.score, item.passage.passage_id))


def _has_all(query: Query, passage: PassageText) -> bool:
    wanted = set(query.asked)
    for name in FIELDS:
        wanted.difference_update(read_stems(passage.field(name)))
    return not wanted and bool(query.asked)


def score_passage(query: Query, passage: PassageText, vocabulary: Vocabulary) -> float:
    """Return how well a passage fits, at least 0, in units of rarity."""
    score = 0.0
    wanted = query.weights.keys()
    counts = _weighted_counts(wanted, passage, vocabulary, _FIELD_WEIGHTS)
    for stem, count in counts.items():
        rarity = vocabulary.rarity(stem) * query.weights[stem]
        score += rarity * count / (_SATURATION + count)
    counts = _weighted_counts(
        query.related, passage, vocabulary, _RELATED_FIELD_WEIGHTS
    )
    for stem, count in counts.items():
        rarity = vocabulary.rarity(stem) * _RELATED_WEIGHT
        score += rarity * count / (_SATURATION + count)
    score += _pair_bonus(query, passage, vocabulary)
    score += _phrase_bonus(query, passage, vocabulary)
    is_kind = holds_kind(passage.text, query.wanted)
    return score * (1 + _KIND_BONUS) if is_kind else score


def score_sentence(
    query: Query, text: str, vocabulary: Vocabulary, closeness: float
) -> float:
    """Return how well a sentence fits by its own words, on the scale of `Ranked`."""
    passage = PassageText(
        passage_id=0, title="", heading="", text=text, keywords="", summary=""
    )
    known_share = 1 - query.unknown_share
    scale = known_share / vocabulary.max_rarity
    score = scale * score_passage(query, passage, vocabulary)
    score += known_share * _SENTENCE_CLOSENESS_WEIGHT * closeness
    return score + _KIND_SCORE if holds_kind(text, query.wanted) else score


def _weighted_counts(
    wanted: Set[str],
    passage: PassageText,
    vocabulary: Vocabulary,
    field_weights: Mapping[str, float],
) -> dict[str, float]:
    """Return how often each wanted stem occurs, by weight and length of its fields."""
    counts: dict[str, float] = defaultdict(float)
    for name, weight in field_weights.items():
        stems = read_stems(passage.field(name))
        if wanted.isdisjoint(stems):  # as most fields are
            continue
        relative = len(stems) / vocabulary.average_length(name)
        share = weight / (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * relative)
        for stem in stems:
            if stem in wanted:
                counts[stem] += share
    return counts


def _pair_bonus(query: Query, passage: PassageText, vocabulary: Vocabulary) -> float:
    """Reward two neighbours of the question that are neighbours in the passage."""
    if not query.pairs:
        return 0.0
    shared = query.pairs & _pairs(
        passage.title, passage.heading, passage.text, passage.keywords
    )
    return _PAIR_WEIGHT * sum(
        max(vocabulary.rarity(stem) for stem in pair if stem not in STOP_STEMS)
        for pair in shared
    )


@lru_cache(maxsize=20_000)
def _pairs(*texts: str) -> frozenset[tuple[str, str]]:
    return frozenset(pair for text in texts for pair in pairwise(read_stems(text)))


def _phrase_bonus(query: Query, passage: PassageText, vocabulary: Vocabulary) -> float:
    """Reward the best title, heading or keyword by how much of it was asked for."""
    best = 0.0
    sought = query.related.union(query.weights)
    for phrase in _phrases(passage.title, passage.heading, passage.keywords):
        if sought.isdisjoint(phrase):  # as most are, and it is asked 500 times
            continue
        rarities = [vocabulary.rarity(stem) for stem in phrase]
        asked = math.fsum(
            rarity * _phrase_weight(query, stem)
            for stem, rarity in zip(phrase, rarities, strict=True)
        )
        if asked:
            best = max(best, asked * asked / math.fsum(rarities))
    return _PHRASE_WEIGHT * best


def _phrase_weight(query: Query, stem: str) -> float:
    related = _RELATED_PHRASE_WEIGHT if stem in query.related else 0.0
    return query.weights.get(stem, related)


@lru_cache(maxsize=20_000)
def _phrases(title: str, heading: str, keywords: str) -> tuple[tuple[str, ...], ...]:
    texts = (title, heading, *keywords.split(","))
    return tuple(tuple(stems) for text in texts if (stems := content_stems(text)))
