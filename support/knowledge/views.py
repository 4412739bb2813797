"""The public help pages: all articles by category, one article, search."""

from dataclasses import dataclass
from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import mark_safe
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from support.knowledge import retrieval
from support.knowledge.markdown import render_markdown
from support.knowledge.pages import page_site
from support.models import Article, Passage

MAX_RESULTS = 10
MAX_QUERY_CHARACTERS = 200
UNSORTED = "More"


@dataclass(frozen=True)
class Category:
    """Articles that stand under one heading; `anchor` is its place on the page."""

    name: str
    articles: list[Article]

    @property
    def anchor(self) -> str:
        """Return the id of the heading."""
        return category_anchor(self.name)


def category_anchor(name: str) -> str:
    """Return the id of a category's heading on the help page."""
    return slugify(name, allow_unicode=True) or "category"


@require_safe
def help_index(request: HttpRequest) -> HttpResponse:
    """Show all articles by category, or what `?q=` finds. Two queries."""
    query = request.GET.get("q", "").replace("\0", "").strip()[:MAX_QUERY_CHARACTERS]
    if query:
        return _search(request, query)
    context = {
        "section": "help",
        "site": page_site(),
        "categories": published_categories(),
    }
    return render(request, "support/help_index.html", context)


@require_safe
def help_article(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one article, with the sections it has and its neighbours. Four queries."""
    article = get_object_or_404(Article, slug=slug, is_published=True)
    siblings = Article.objects.filter(is_published=True, category=article.category)
    context = {
        "section": "help",
        "site": page_site(),
        "article": article,
        "body": mark_safe(render_markdown(article.body)),  # noqa: S308 - sanitised there
        "category_anchor": category_anchor(article.category),
        "sections": sections(article),
        "siblings": siblings.exclude(pk=article.pk)[:8] if article.category else [],
    }
    return render(request, "support/help_article.html", context)


def _search(request: HttpRequest, query: str) -> HttpResponse:
    context = {
        "section": "help",
        "site": page_site(),
        "query": query,
        "results": retrieval.retrieve(query, limit=MAX_RESULTS, min_share=0),
    }
    return render(request, "support/help_search.html", context)


def published_categories() -> list[Category]:
    """Return the published articles by category, those without one last. One query."""
    articles = Article.objects.filter(is_published=True).defer("body")
    by_name = {
        name or UNSORTED: list(group)
        for name, group in groupby(articles, key=lambda article: article.category)
    }
    names = sorted(by_name, key=lambda name: (name == UNSORTED, name))
    return [Category(name, by_name[name]) for name in names]


def sections(article: Article) -> list[Passage]:
    """Return the first passage of each section that has a heading. One query."""
    shown: dict[str, Passage] = {}
    for passage in article.passages.exclude(anchor=""):
        shown.setdefault(passage.anchor, passage)
    return list(shown.values())
