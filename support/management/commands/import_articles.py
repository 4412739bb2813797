"""`manage.py import_articles`: help articles from Markdown and CSV files."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from support.knowledge.importing import (
    ImportFailed,
    Outcome,
    read_articles,
    store_articles,
)


class Command(BaseCommand):
    """Creates and updates articles by slug; the same input twice changes nothing."""

    help = (
        "Import help articles from a folder of Markdown files, one Markdown file, or a "
        "CSV with the columns title, body and any of slug, category, summary, "
        "keywords, language. All or nothing; articles are matched by slug."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("path", type=Path, metavar="FOLDER|FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, store, and print how many were created, updated and unchanged."""
        try:
            outcomes = store_articles(read_articles(options["path"]))
        except ImportFailed as error:
            raise CommandError(str(error)) from error
        counts = ", ".join(f"{outcomes[name]} {name}" for name in Outcome)
        self.stdout.write(f"Articles: {counts}.")
