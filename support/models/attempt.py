"""The ledger of calls to models."""

from django.db import models
from django.db.models import Q

from inference.models import writing_speed
from support.models.turn import Turn


class AttemptOutcome(models.TextChoices):
    """What became of a call; `running` is written before it and replaced after it."""

    RUNNING = "running", "running"
    COMPLETED = "completed", "completed"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"
    LOST = "lost", "lost with its worker"


class Attempt(models.Model):
    """One call to one backend for one turn: written before it, closed once after it.

    `cost_usd` is what the provider bills; NULL means unpriced, which is not the same as
    free. `hardware_usd` is the share of our own hardware's hour that the call kept
    busy, NULL where no such cost is known. Both are fixed when the call ends. Times are
    milliseconds; `queue_ms` is from the commit of the question to this call.
    """

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    turn_attempt = models.PositiveIntegerField(
        help_text="The attempt of the turn that made the call."
    )
    backend = models.CharField(max_length=100)
    host = models.CharField(
        max_length=253, blank=True, help_text="Where it was computed; empty means here."
    )
    region = models.CharField(max_length=50, blank=True)
    left_house = models.BooleanField(default=False)
    model = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(
        max_length=10, choices=AttemptOutcome.choices, default=AttemptOutcome.RUNNING
    )
    error = models.CharField(max_length=50, blank=True)
    error_detail = models.CharField(max_length=500, blank=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    cached_tokens = models.PositiveIntegerField(null=True, blank=True)
    cache_write_tokens = models.PositiveIntegerField(null=True, blank=True)
    reasoning_tokens = models.PositiveIntegerField(null=True, blank=True)
    is_usage_estimated = models.BooleanField(
        default=False, help_text="The backend did not say; counted from the texts."
    )
    cost_usd = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True
    )
    hardware_usd = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True
    )
    request_id = models.CharField(
        max_length=200, blank=True, help_text="What the provider calls this call."
    )
    busy_ms = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Its share of our own engine's computing; empty elsewhere.",
    )
    queue_ms = models.PositiveIntegerField()
    ttft_ms = models.PositiveIntegerField(null=True, blank=True)
    itl_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["turn", "number"]
        indexes = [
            # monitoring: calls of a window, by backend
            models.Index(fields=["started_at", "backend"], name="attempt_window"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["turn", "number"], name="attempt_number_unique"
            ),
            models.CheckConstraint(
                condition=Q(outcome="running", finished_at__isnull=True)
                | ~Q(outcome="running") & Q(finished_at__isnull=False),
                name="attempt_closed_with_outcome",
            ),
            models.CheckConstraint(
                condition=Q(cost_usd__isnull=True) | Q(cost_usd__gte=0),
                name="attempt_cost_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(hardware_usd__isnull=True) | Q(hardware_usd__gte=0),
                name="attempt_hardware_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} on {self.backend}"

    @property
    def tokens_per_s(self) -> float | None:
        """Return how fast it was written after the first token; None if not known."""
        return writing_speed(self.completion_tokens, self.ttft_ms, self.duration_ms)
