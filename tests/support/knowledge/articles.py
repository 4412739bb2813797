"""Articles for tests."""

from support.knowledge.articles import save_article
from support.models import Article

BODY = "## Poles\n\nA broken pole costs $9.\n\n## Rain\n\nEvery tent is dry."


def make_article(slug="tents", **values) -> Article:
    values = {"title": "Tents", "body": BODY, **values}
    article = Article(slug=slug, **values)
    save_article(article)
    return article
