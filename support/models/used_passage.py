"""The passages that were in the prompt of a reply."""

from django.db import models

from support.models.article import Article
from support.models.turn import Turn


class UsedPassage(models.Model):
    """One passage as the model saw it; the article may have changed since.

    `is_cited` is set only where the application found the reply's words in it.
    """

    turn = models.ForeignKey(
        Turn, on_delete=models.CASCADE, related_name="used_passages"
    )
    rank = models.PositiveSmallIntegerField()
    article = models.ForeignKey(
        Article, on_delete=models.SET_NULL, null=True, blank=True
    )
    title = models.CharField(max_length=200)
    heading = models.CharField(max_length=200, blank=True)
    text = models.TextField()
    url = models.CharField(max_length=300)
    score = models.FloatField()
    is_cited = models.BooleanField(default=False)

    class Meta:
        ordering = ["turn", "rank"]
        constraints = [
            models.UniqueConstraint(
                fields=["turn", "rank"], name="used_passage_rank_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.rank})"
