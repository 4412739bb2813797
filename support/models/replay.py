"""Old questions that a candidate was asked again, out of sight of customers."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from inference.models import writing_speed
from support.models.turn import Turn


class ReplayState(models.TextChoices):
    """How a replay stands; all but the first two are final."""

    WAITING = "waiting", "waiting for a worker"
    RUNNING = "running", "running"
    DONE = "done", "done"
    STOPPED = "stopped", "stopped"


OPEN_REPLAYS = (ReplayState.WAITING, ReplayState.RUNNING)


class Replay(models.Model):
    """The latest questions, asked of a candidate; nobody sees the answers but staff.

    It ends before a call that could bring its cost above `limit_usd`. `at` is when it
    last went on; `reason` says why it ended early, or what it left out.
    """

    backend = models.CharField(max_length=100)
    num_questions = models.PositiveSmallIntegerField(default=50)
    limit_usd = models.DecimalField(max_digits=8, decimal_places=4, default=1)
    state = models.CharField(
        max_length=10, choices=ReplayState.choices, default=ReplayState.WAITING
    )
    asked_by = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["backend", "-created_at"], name="replay_latest")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["backend"],
                condition=Q(state__in=["waiting", "running"]),
                name="replay_one_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"replay on {self.backend}"


class ReplayedCall(models.Model):
    """One old question and what the candidate answered; the turn has the old reply."""

    replay = models.ForeignKey(Replay, on_delete=models.CASCADE, related_name="calls")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="replayed")
    text = models.TextField(blank=True)
    error = models.CharField(max_length=50, blank=True)
    error_detail = models.CharField(max_length=500, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True
    )
    ttft_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["replay", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["replay", "turn"], name="replayed_call_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.turn} again"

    @property
    def tokens_per_s(self) -> float | None:
        """Return how fast it was written after the first token; None if not known."""
        return writing_speed(self.completion_tokens, self.ttft_ms, self.duration_ms)
