"""Help articles, and the passages that are retrieved from them."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.urls import reverse

PASSAGE_CHARACTERS = 600

# the constraint below compares the length of a text
models.TextField.register_lookup(Length, "length")


class Article(models.Model):
    """One help article in Markdown, with a public page.

    Its passages follow the text: change it with `knowledge.articles.save_article`,
    which cuts and indexes them in the same transaction. `version` counts the changes
    of what a customer can read.
    """

    slug = models.SlugField(max_length=100, unique=True)
    title = models.CharField(max_length=200)
    category = models.CharField(
        max_length=100, blank=True, help_text="Groups the articles of the help page."
    )
    summary = models.CharField(
        max_length=300, blank=True, help_text="One sentence for lists of articles."
    )
    keywords = models.CharField(
        max_length=500,
        blank=True,
        help_text="Other words that customers use for this, separated by commas.",
    )
    body = models.TextField(
        max_length=100_000,
        help_text="Markdown. Each ## section is retrieved on its own, so let its "
        "sentences make sense alone.",
    )
    language = models.CharField(max_length=10, default="en")
    is_published = models.BooleanField(
        default=True, help_text="Only published articles are shown and quoted."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["category", "title"]
        constraints = [
            models.CheckConstraint(condition=~Q(slug=""), name="article_has_slug"),
            models.CheckConstraint(condition=~Q(title=""), name="article_has_title"),
            models.CheckConstraint(condition=~Q(body=""), name="article_has_body"),
            models.CheckConstraint(
                condition=Q(version__gte=1), name="article_version_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Return the path of the public page."""
        return reverse("help-article", args=[self.slug])


class Passage(models.Model):
    """The piece of an article that is retrieved: a section, or a part of a long one.

    Rows are kept while their heading and text stay the same, so that an id means one
    text. `anchor` is the id of the section's heading on the public page, empty for
    what stands before the first heading.
    """

    article = models.ForeignKey(
        Article, on_delete=models.CASCADE, related_name="passages"
    )
    position = models.PositiveIntegerField()
    heading = models.CharField(max_length=200, blank=True)
    anchor = models.CharField(max_length=220, blank=True)
    text = models.TextField(max_length=PASSAGE_CHARACTERS)

    class Meta:
        ordering = ["article", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["article", "position"], name="passage_position_unique"
            ),
            models.CheckConstraint(condition=~Q(text=""), name="passage_has_text"),
            models.CheckConstraint(
                condition=Q(text__length__lte=PASSAGE_CHARACTERS),
                name="passage_fits_the_prompt",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.article}: {self.heading or self.position}"

    def get_absolute_url(self) -> str:
        """Return the path of the public page, at this passage's section."""
        anchor = f"#{self.anchor}" if self.anchor else ""
        return self.article.get_absolute_url() + anchor
