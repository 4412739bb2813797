import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction

from support.knowledge.articles import delete_article, save_article
from support.knowledge.index import open_index
from support.models import Article, Passage
from tests.support.knowledge.articles import make_article

pytestmark = pytest.mark.django_db


def stored(article):
    passages = Passage.objects.filter(article=article).order_by("position")
    return [(passage.position, passage.text) for passage in passages]


def test_saving_cuts_passages():
    assert stored(make_article()) == [
        (0, "A broken pole costs $9."),
        (1, "Every tent is dry."),
    ]


def test_unchanged_passages_keep_their_rows_when_they_move():
    article = make_article()
    old_ids = dict(article.passages.values_list("text", "id"))
    article.body = (
        "## Rain\n\nEvery tent is dry.\n\n## Poles\n\nA broken pole costs $9."
    )
    save_article(article)
    assert dict(article.passages.values_list("text", "id")) == old_ids
    assert stored(article)[0] == (0, "Every tent is dry.")


def test_removed_passages_are_deleted():
    article = make_article()
    article.body = "## Rain\n\nEvery tent is dry."
    save_article(article)
    assert stored(article) == [(0, "Every tent is dry.")]


def test_a_change_that_customers_can_read_is_a_version():
    article = make_article()
    save_article(article)
    article.title = "All tents"
    save_article(article)
    assert Article.objects.get().version == 2


@pytest.mark.parametrize("field", ["title", "body", "slug"])
def test_an_article_needs_its_texts(field):
    article = make_article()
    setattr(article, field, "")
    with pytest.raises(ValidationError, match=field):
        save_article(article)


def test_a_slug_is_used_once():
    make_article()
    with pytest.raises(ValidationError, match="slug"):
        make_article()


def test_nothing_is_stored_when_the_index_is_gone():
    article = make_article()
    with connection.cursor() as cursor:
        cursor.execute(type(open_index()).DROP)
    article.title = "Changed"
    with pytest.raises(DatabaseError):
        save_article(article)
    assert Article.objects.get().title == "Tents"


def test_deleting_takes_the_passages_along():
    delete_article(make_article())
    assert not Passage.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"position": 0, "text": "A second passage at a taken place."},
        {"position": 9, "text": ""},
        {"position": 9, "text": "x" * 601},
    ],
)
def test_the_database_refuses_a_wrong_passage(values):
    article = make_article()
    with pytest.raises(IntegrityError), transaction.atomic():
        Passage.objects.create(article=article, **values)


def test_a_passage_links_to_its_section():
    passage = make_article().passages.get(position=1)
    assert passage.get_absolute_url() == "/help/tents/#rain"
