"""The sign of life of a queue's workers."""

from django.db import models


class QueuePulse(models.Model):
    """When the workers of a queue last showed that they take its jobs.

    `took_at` is written by a job itself: a worker that is up and takes none leaves it
    alone. `full_at` is when one last had as many jobs at once as it may have, so that
    it could take no more.
    """

    queue = models.CharField(primary_key=True, max_length=100)
    took_at = models.DateTimeField(null=True, blank=True)
    full_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"pulse of {self.queue}"
