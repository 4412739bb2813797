"""`manage.py measure_retrieval`: how often the right article is found."""

import random
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from support.knowledge.importing import ImportFailed, read_articles
from support.knowledge.measuring import (
    Measured,
    build_corpus,
    measure,
    read_questions,
)


class Command(BaseCommand):
    """Searches articles for labelled questions, in memory; the database is not used."""

    help = (
        "Measure retrieval: articles from a folder or CSV, questions from a CSV with "
        "the columns text and category (the slug of the right article), or a .jsonl "
        "file with question and article. Prints recall@1, recall@5, the mean "
        "reciprocal rank and ms per question; for questions with facts, how often a "
        "fact stands in the three passages that a model would see."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("articles", type=Path, metavar="FOLDER|CSV")
        parser.add_argument("--questions", type=Path, required=True)
        parser.add_argument(
            "--sample", type=int, help="use this many questions, chosen at random"
        )
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        """Measure the index alone and the whole retrieval, and print one row each."""
        try:
            corpus = build_corpus(read_articles(options["articles"]))
            questions = read_questions(options["questions"])
        except ImportFailed as error:
            raise CommandError(str(error)) from error
        known = set(corpus.slug_of.values())
        missing = {slug for item in questions for slug in item.slugs} - known
        if missing:
            raise CommandError(f"no article for: {', '.join(sorted(missing))}")
        if options["sample"]:
            chooser = random.Random(options["seed"])  # noqa: S311 - not a secret
            questions = chooser.sample(
                questions, min(options["sample"], len(questions))
            )
        if not any(item.slugs for item in questions):
            raise CommandError("none of the questions names an article")
        self._print("index alone", measure(questions, corpus, corpus.search_plain))
        self._print("retrieval", measure(questions, corpus, corpus.search))

    def _print(self, name: str, measured: Measured) -> None:
        fact = measured.recall_fact_at_3
        self.stdout.write(
            f"{name:12} questions={measured.num_questions} "
            f"recall@1={measured.recall_at_1:.3f} recall@5={measured.recall_at_5:.3f} "
            f"mrr={measured.mean_reciprocal_rank:.3f} "
            + (f"fact@3={fact:.3f} " if fact is not None else "")
            + f"ms={measured.ms_per_question:.1f}"
        )
