"""The sample articles and the questions about them agree."""

import json
from pathlib import Path

import pytest

from support.knowledge.importing import read_articles
from support.knowledge.measuring import measure, read_questions
from support.knowledge.passages import cut_passages
from tests.support.knowledge.conftest import SAMPLES

QUESTIONS = Path(__file__).parents[1] / "sample_questions.jsonl"
ROWS = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
ARTICLES = {source.slug: source for source in read_articles(SAMPLES)}


@pytest.mark.parametrize("slug", ARTICLES)
def test_an_article_is_short_and_complete(slug):
    article = ARTICLES[slug]
    assert 110 <= len(article.body.split()) <= 280
    assert article.category
    assert article.summary
    assert article.keywords


@pytest.mark.parametrize("slug", ARTICLES)
def test_each_section_is_one_passage(slug):
    body = ARTICLES[slug].body
    assert len(cut_passages(body)) == body.count("## ")


@pytest.mark.parametrize("row", [row for row in ROWS if row["fact"]])
def test_a_fact_stands_in_one_passage_of_its_article(row):
    texts = [passage.text for passage in cut_passages(ARTICLES[row["article"]].body)]
    assert any(all(fact in text for fact in row["fact"]) for text in texts)


def test_there_are_sixty_questions_and_twelve_without_an_answer():
    assert [row["article"] is not None for row in ROWS].count(True) == 60
    assert len(ROWS) == 72


def test_retrieval_is_as_good_as_documented(samples):
    measured = measure(read_questions(QUESTIONS), samples, samples.search)
    assert measured.recall_at_1 >= 0.80
    assert measured.recall_at_5 >= 0.95
    assert measured.recall_fact_at_3 >= 0.85
