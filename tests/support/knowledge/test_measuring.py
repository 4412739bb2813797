import json
from pathlib import Path

import pytest

from support.knowledge.importing import ImportFailed, SourceArticle
from support.knowledge.measuring import (
    Labelled,
    build_corpus,
    category_slug,
    measure,
    read_questions,
)


def source(slug, title, body):
    return SourceArticle(path=Path("a.md"), line=1, slug=slug, title=title, body=body)


@pytest.fixture(scope="module")
def corpus():
    return build_corpus(
        [
            source("poles", "Poles", "A broken pole costs $9."),
            source("boots", "Boots", "Boots need wax."),
        ]
    )


def labelled(question, slug, *facts):
    return Labelled(question, frozenset([slug]), facts=facts)


def test_counts_where_the_right_article_stands(corpus):
    questions = [
        labelled("my pole is broken", "poles", "$9"),
        labelled("broken poles, or boots?", "boots", "nowhere"),
        labelled("something else entirely", "boots"),
    ]
    measured = measure(questions, corpus, corpus.search)
    assert measured.num_questions == 3
    assert measured.recall_at_1 == pytest.approx(1 / 3)
    assert measured.recall_at_5 == pytest.approx(2 / 3)
    assert measured.mean_reciprocal_rank == pytest.approx(1 / 2)
    assert measured.recall_fact_at_3 == pytest.approx(1 / 2)


def test_the_index_alone_knows_no_spelling(corpus):
    question = labelled("brocken", "poles")
    assert corpus.search(question)
    assert not corpus.search_plain(question)


def test_reads_questions_by_category(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text('text,category\n"Where, now?",Card_arrival?\n')
    (question,) = read_questions(path)
    assert question == Labelled("Where, now?", frozenset(["card-arrival"]))


def test_reads_questions_with_facts(tmp_path):
    row = {"question": "?", "article": "a", "also": ["b"], "fact": ["f"], "kind": "x"}
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row | {"history": ["before"]}) + "\n")
    (question,) = read_questions(path)
    assert question == Labelled("?", frozenset("ab"), ("before",), ("f",))


@pytest.mark.parametrize(
    ("name", "content"),
    [("q.csv", "a,b\n1,2\n"), ("q.jsonl", "{}\n"), ("q.jsonl", "x\n"), ("none", None)],
)
def test_a_wrong_file_is_an_error(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ImportFailed, match=name):
        read_questions(path)


def test_a_category_names_a_slug():
    assert category_slug("Refund_not_showing_up") == "refund-not-showing-up"
