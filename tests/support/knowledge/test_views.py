"""The public help pages and the shop page that carries the widget."""

import pytest

from support.chat import demo
from support.knowledge.articles import save_article
from support.models import Article
from tests.factories import make_site

pytestmark = pytest.mark.django_db


def publish(slug: str, body: str = "Some text.", **values) -> Article:
    article = Article(slug=slug, title=slug.title(), body=body, **values)
    save_article(article)
    return article


def test_index_lists_published_articles_by_category(client):
    publish("warranty", category="Services")
    publish("refunds", category="Returns")
    publish("draft", category="Returns", is_published=False)
    categories = client.get("/help/").context["categories"]
    assert [(c.name, [a.slug for a in c.articles]) for c in categories] == [
        ("Returns", ["refunds"]),
        ("Services", ["warranty"]),
    ]


def test_articles_without_a_category_come_last(client):
    publish("loose")
    publish("zip", category="Zips")
    categories = client.get("/help/").context["categories"]
    assert [category.name for category in categories] == ["Zips", "More"]


def test_article_lists_its_sections_once_and_its_neighbours(client):
    long_section = "A sentence that fills a line of the section. " * 30
    publish("refunds", f"## How long\n\n{long_section}\n\n## How", category="Money")
    publish("gift-cards", category="Money")
    context = client.get("/help/refunds/").context
    assert [section.anchor for section in context["sections"]] == ["how-long"]
    assert [article.slug for article in context["siblings"]] == ["gift-cards"]


def test_article_shows_markup_as_text(client):
    publish("attack", "<script>alert(1)</script> and [x](javascript:alert(1))")
    html = client.get("/help/attack/").content.decode()
    assert "<script>alert" not in html
    assert 'href="javascript' not in html


def test_unpublished_article_is_not_found(client):
    publish("draft", is_published=False)
    assert client.get("/help/draft/").status_code == 404


@pytest.mark.parametrize(
    "query", ["<b>zip", "a\0b", '"', "x" * 5000, "🏕️", "OR AND NOT"]
)
def test_search_takes_any_text(client, query):
    publish("repairs", "## Zips\n\nA new zip costs little.")
    response = client.get("/help/", {"q": query})
    assert response.status_code == 200
    assert "<b>zip" not in response.content.decode()


def test_search_leads_to_the_section(client):
    publish("repairs", "## Zips\n\nA new zip costs little.")
    response = client.get("/help/", {"q": "zip"})
    assert 'href="/help/repairs/#zips"' in response.content.decode()


@pytest.mark.parametrize("path", ["/", "/help/"])
def test_pages_carry_the_widget_of_the_oldest_site(client, path):
    make_site(key="first")
    make_site(key="second")
    assert 'src="/widget.js" data-site="first"' in client.get(path).content.decode()


def test_pages_work_without_a_site(client):
    assert "widget.js" not in client.get("/").content.decode()


def test_shop_shows_every_product_with_its_drawing(client):
    html = client.get("/").content.decode()
    assert [p.name for p in demo.PRODUCTS if f"/static/{p.image}" not in html] == []


def test_help_index_takes_two_queries(client, django_assert_num_queries):
    make_site()
    for number in range(20):
        publish(f"article-{number}", category=f"Category {number % 3}")
    with django_assert_num_queries(2):
        client.get("/help/")


@pytest.mark.parametrize("path", ["/", "/help/", "/no-such-page", "/admin/login/"])
def test_pages_hold_no_inline_script_or_style(client, path):
    html = client.get(path).content.decode()
    assert "<style" not in html
    assert " style=" not in html
    assert "<script>" not in html
