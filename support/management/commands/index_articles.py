"""`manage.py index_articles`: fills the passage index from the stored articles."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from support.knowledge.articles import index_article
from support.models import Article


class Command(BaseCommand):
    """Needed once, when articles came into the database by `loaddata` or a dump."""

    help = (
        "Put the passages of all articles into the index. Saving an article does that "
        "by itself; this is for a database that was filled by loaddata, as on the way "
        "from SQLite to Postgres."
    )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Index every article and print how many there are."""
        articles = list(Article.objects.prefetch_related("passages"))
        for article in articles:
            index_article(article)
        self.stdout.write(f"Articles indexed: {len(articles)}.")
