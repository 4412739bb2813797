"""Postgres finds what SQLite finds: the same passages in the same order."""

import importlib
from dataclasses import replace

import psycopg
import pytest

from support.knowledge.index import PostgresIndex, open_memory_index
from support.knowledge.measuring import Labelled, measure, read_questions
from support.knowledge.query import build_query
from support.knowledge.vocabulary import PassageText
from tests.support.knowledge.test_samples import QUESTIONS

SCHEMA = importlib.import_module("support.migrations.0003_postgres_search")
ASKED = read_questions(QUESTIONS)
LIMIT = 20


@pytest.fixture(scope="module")
def connection(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE SCHEMA index_tests")
        connection.execute("SET search_path TO index_tests")
        connection.execute(SCHEMA._CREATE)
        yield connection
        connection.rollback()


@pytest.fixture
def index(connection):
    """An empty index; what a test puts into it is taken back."""
    connection.execute("SAVEPOINT before")
    connection.execute("TRUNCATE support_passage_search CASCADE")
    yield PostgresIndex(connection.cursor())
    connection.execute("ROLLBACK TO SAVEPOINT before")


@pytest.fixture(scope="module")
def full_index(connection, samples):
    """The sample articles, as `samples` has them in SQLite's index."""
    index = PostgresIndex(connection.cursor())
    index.add(samples.searcher.read(samples.slug_of))
    return index


def make_passage(passage_id: int, text: str, **values: str) -> PassageText:
    fields = {"title": "", "heading": "", "keywords": "", "summary": ""} | values
    return PassageText(passage_id=passage_id, text=text, **fields)


def found(index, *stems: str, limit: int = LIMIT) -> list[int]:
    return [hit.passage_id for hit in index.search(stems, limit)]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.question)
def test_finds_the_same_passages_as_sqlite(asked, samples, full_index):
    query = build_query(asked.question, samples.searcher.vocabulary, asked.earlier)
    expected = samples.searcher.index.search(query.weights, LIMIT)
    hits = full_index.search(query.weights, LIMIT)
    assert [hit.passage_id for hit in hits] == [hit.passage_id for hit in expected]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected])


def test_answers_the_sample_questions_as_well(samples, full_index):
    searcher = replace(samples.searcher, index=full_index)
    corpus = replace(samples, searcher=searcher)
    on_sqlite = measure(ASKED, samples, samples.search)
    on_postgres = measure(ASKED, corpus, corpus.search)
    assert replace(on_postgres, ms_per_question=0) == replace(
        on_sqlite, ms_per_question=0
    )


def test_forgives_the_same_slips(samples, full_index):
    asked = Labelled("wat does standart delivry cost", frozenset())
    corpus = replace(samples, searcher=replace(samples.searcher, index=full_index))
    assert corpus.search(asked) == samples.search(asked)


def test_a_word_counts_in_each_field(index):
    index.add(
        [
            make_passage(1, "pole"),
            make_passage(2, "pole", title="pole", heading="pole"),
            *(make_passage(n, "something else") for n in range(3, 9)),
        ]
    )
    assert found(index, "pole") == [2, 1]


def test_several_searches_find_what_each_finds(full_index):
    searches = [(["zip", "repair"], 20), ([], 5), (["deliveri"], 3)]
    expected = [full_index.search(stems, limit) for stems, limit in searches]
    assert full_index.search_each(searches) == expected
    assert [bool(hits) for hits in expected] == [True, False, True]


def test_a_passage_is_replaced(index):
    index.add([make_passage(1, "pole")])
    index.add([make_passage(1, "boot")])
    assert (found(index, "pole"), found(index, "boot")) == ([], [1])


def test_a_removed_passage_is_gone_and_an_unknown_one_no_error(index):
    index.add([make_passage(1, "pole"), make_passage(2, "pole")])
    index.remove([1, 77])
    assert found(index, "pole") == [2]


def test_a_word_of_a_thousand_letters_is_stored_and_found(index):
    index.add([make_passage(1, "x" * 1000)])
    assert found(index, "x" * 1000) == [1]


def test_nothing_is_found_for_no_word(index):
    assert found(index) == []


def test_the_limit_keeps_the_best(index):
    index.add([make_passage(1, "pole and much more"), make_passage(2, "pole")])
    index.add([make_passage(n, "else") for n in range(3, 9)])
    assert found(index, "pole", limit=1) == [2]


def test_scores_like_sqlite_where_a_word_is_everywhere(index):
    memory = open_memory_index()
    for either in (index, memory):
        either.add([make_passage(n, "pole " * n) for n in range(1, 5)])
    on_sqlite = memory.search(["pole"], LIMIT)
    assert [hit.score for hit in index.search(["pole"], LIMIT)] == pytest.approx(
        [hit.score for hit in on_sqlite]
    )
