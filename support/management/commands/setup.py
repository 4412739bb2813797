"""`manage.py setup`: makes a new installation usable; safe to run again."""

import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from inference.models import Backend, BackendKind
from support.models import Article, Site, store_prompt

SAMPLE_ARTICLES = Path(settings.BASE_DIR) / "support" / "sample_articles"
PROMPT = (
    "You are Fern, the assistant of {name}. Answer from the help articles. If they "
    "do not answer the question, say so and offer a person."
)
# Chosen on tests/support/development_questions.jsonl; docs/measurements.md
BUNDLED_OPTIONS = {
    "quotes": True,
    "quote_lean": 14.0,
    "quote_doubt": 0.3,
    "quote_also_from": 0.02,
}
QUESTIONS = """\
How long do I have to return something?
What does delivery cost?
How much is a new zip?"""


class Command(BaseCommand):
    """Creates what is missing: tables, demo site, prompt, backend, articles, staff."""

    help = (
        "Migrate the database and create what is missing: the demo site, its system "
        "prompt, the bundled model's backend, the sample articles and one staff login, "
        "whose random password is printed once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--no-samples", action="store_true", help="do not load the sample articles"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the steps in order."""
        call_command("migrate", verbosity=0)
        self._create_site()
        self._create_backend()
        if not options["no_samples"] and not Article.objects.exists():
            call_command("import_articles", str(SAMPLE_ARTICLES), stdout=self.stdout)
        self._create_staff()

    def _create_site(self) -> None:
        site, is_new = Site.objects.get_or_create(
            key="demo",
            defaults={
                "name": settings.SITE_NAME,
                "bot_name": "Fern",
                "greeting": "Hi, I'm Fern. Ask me about delivery, returns, repairs "
                "or gear.",
                "suggested_questions": QUESTIONS,
            },
        )
        if is_new or not site.prompts.exists():
            store_prompt(site, PROMPT.format(name=site.name), "The first one")

    def _create_backend(self) -> None:
        if not Backend.objects.exists():
            Backend.objects.create(
                name="bundled",
                kind=BackendKind.LLAMA_CPP,
                options=BUNDLED_OPTIONS,
                position=10,
            )

    def _create_staff(self) -> None:
        user_model = get_user_model()
        if user_model.objects.filter(is_staff=True).exists():
            return
        password = secrets.token_urlsafe(12)
        user_model.objects.create_superuser("staff", password=password)
        self.stdout.write(
            "\n  Your login for /admin/, shown this once:\n"
            f"      user      staff\n      password  {password}\n"
        )
