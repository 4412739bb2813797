"""How the engines of workers are doing."""

from django.db import models


class EngineReport(models.Model):
    """The latest figures of one engine, written by its worker every other second.

    `figures` are those of `inference.engine_stats.EngineStats`. A worker that ended
    leaves its row behind; `at` says how old it is.
    """

    worker = models.CharField(max_length=100)
    backend = models.CharField(max_length=100)
    at = models.DateTimeField()
    figures = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["worker", "backend"], name="engine_report_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.backend} in {self.worker}"
