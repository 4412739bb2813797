import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from support.knowledge.articles import delete_article, save_article
from support.knowledge.retrieval import MAX_PASSAGES, retrieve
from support.models import Article

pytestmark = pytest.mark.django_db


def make_article(slug="tents", **values) -> Article:
    fields = {
        "slug": slug,
        "title": "Tents",
        "body": "## Poles\n\nA broken pole costs $9.\n\n## Rain\n\nTents are dry.",
        **values,
    }
    article = Article(**fields)
    save_article(article)
    return article


@pytest.mark.usefixtures("sample_articles")
@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("How long do I have to return something?", "How long you have"),
        ("wat does standart delivry cost", "What delivery costs"),
        ("can my tent go into the washing machine", "Washing"),
        ("I forgot my passwrod", "A forgotten password"),
    ],
)
def test_finds_the_section_that_answers(question, heading):
    assert heading in [passage.heading for passage in retrieve(question)]


@pytest.mark.usefixtures("sample_articles")
def test_a_passage_names_its_place_on_the_help_page():
    best = retrieve("How long is a gift card valid?")[0]
    assert best.url == "/help/gift-cards/#how-long-it-is-valid"


@pytest.mark.usefixtures("sample_articles")
@pytest.mark.parametrize(
    "question",
    ["", "thanks!", "hello", "🏕️", "who wrote War and Peace", '" OR *', "NEAR(a b)"],
)
def test_finds_nothing_where_nothing_is_asked(question):
    assert retrieve(question) == []


@pytest.mark.usefixtures("sample_articles")
def test_a_follow_up_is_read_with_the_question_before():
    earlier = ["When is the Port Marren store open?"]
    best = retrieve("and in winter?", earlier)[0]
    assert best.heading == "Port Marren"


@pytest.mark.usefixtures("sample_articles")
def test_a_new_subject_forgets_the_question_before():
    question = "How do I wash a down sleeping bag?"
    earlier = ["When is the Port Marren store open?"]
    assert retrieve(question, earlier) == retrieve(question)


@pytest.mark.usefixtures("sample_articles")
def test_returns_a_few_passages_best_first():
    scores = [passage.score for passage in retrieve("What does delivery cost?")]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == MAX_PASSAGES


@pytest.mark.usefixtures("sample_articles")
def test_makes_the_same_number_of_queries_again():
    retrieve("What does delivery cost?")
    with CaptureQueriesContext(connection) as queries:
        retrieve("What does a repair cost?")
    assert len(queries) == 5


def test_an_unpublished_article_is_not_found():
    article = make_article()
    article.is_published = False
    save_article(article)
    assert retrieve("what does a broken pole cost") == []


def test_a_deleted_article_is_not_found():
    delete_article(make_article())
    assert retrieve("what does a broken pole cost") == []


def test_an_article_deleted_behind_the_index_is_not_found():
    make_article()
    Article.objects.all().delete()
    assert retrieve("what does a broken pole cost") == []


def test_a_changed_article_is_found_by_its_new_words_only():
    article = make_article()
    make_article("boots", title="Boots", body="Boots are made of leather.")
    article.title = article.body = "Kayaks float on water"
    save_article(article)
    assert retrieve("broken pole") == []
    assert retrieve("do kayaks float")[0].text == "Kayaks float on water."
