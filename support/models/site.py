"""A website that carries the widget."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

_ORIGIN = re.compile(
    r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?"
)


def check_origins(value: str) -> None:
    """Raise ValidationError unless each line is an origin such as https://shop.example."""
    for line in value.split():
        if not _ORIGIN.fullmatch(line):
            raise ValidationError(
                "%(line)s is not an origin: write scheme, host and port only, in "
                "lower case, such as https://shop.example",
                params={"line": line},
            )


class Site(models.Model):
    """One website, found by its `key`; who may embed the widget, and how it greets."""

    key = models.SlugField(unique=True, help_text="Stands in the page as data-site.")
    name = models.CharField(max_length=100)
    bot_name = models.CharField(max_length=50, default="Assistant")
    greeting = models.CharField(
        max_length=300, default="Hi! Ask me anything about our shop."
    )
    suggested_questions = models.TextField(
        blank=True, help_text="One a line; shown before the first message."
    )
    allowed_origins = models.TextField(
        blank=True,
        validators=[check_origins],
        help_text="Websites that may show the widget, one origin a line, such as "
        "https://shop.example. Pages of this server always may.",
    )
    accent_color = models.CharField(
        max_length=7,
        blank=True,
        validators=[RegexValidator(r"^#[0-9a-fA-F]{6}$", "Write it like #2f6b4f.")],
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def origins(self) -> frozenset[str]:
        """Return the allowed origins."""
        return frozenset(self.allowed_origins.split())

    @property
    def questions(self) -> list[str]:
        """Return the suggested questions."""
        lines = (line.strip() for line in self.suggested_questions.splitlines())
        return [line for line in lines if line]
