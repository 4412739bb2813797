"""What holds for all backends: switches, and a candidate on trial."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from inference.models.backend import Backend


class Rung(models.TextChoices):
    """How far down the ladder replies begin; each is also the next one's fallback."""

    MODEL = "model", "a model answers"
    EXCERPT = "excerpt", "without a model: the article that fits best"
    APOLOGY = "apology", "an apology, and the offer of a person"


class RoutingPolicy(models.Model):
    """The operator's switches; one row, read with every reply."""

    is_cloud_off = models.BooleanField(
        "nothing leaves the house",
        default=False,
        help_text="Backends that do not run in our house are left alone.",
    )
    rung = models.CharField(
        "replies begin with", max_length=10, choices=Rung.choices, default=Rung.MODEL
    )
    drills_at = models.TimeField(
        "nightly fire drills at",
        null=True,
        blank=True,
        help_text="In the server's time zone; empty means none. Each backend then has "
        "one fault a night, another one each time.",
    )
    drilled_on = models.DateField(null=True, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = verbose_name_plural = "routing policy"
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="routing_policy_alone")
        ]

    def __str__(self) -> str:
        return "routing policy"

    @classmethod
    def load(cls) -> "RoutingPolicy":
        """Return the row, or the defaults if it was never saved. One query."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)


class CanaryState(models.TextChoices):
    """How a trial stands; all but the first are final."""

    RUNNING = "running", "running"
    ROLLED_BACK = "rolled_back", "rolled back"
    PROMOTED = "promoted", "promoted"
    STOPPED = "stopped", "stopped by staff"


class Canary(models.Model):
    """A candidate that gets a share of the new conversations, until a bound is crossed.

    Its conversations stay with it. The bounds count once `min_replies` were written;
    the shares are those of its own replies, in percent, empty for no bound.
    """

    candidate = models.ForeignKey(
        Backend, on_delete=models.CASCADE, related_name="canaries"
    )
    share_percent = models.PositiveSmallIntegerField(
        "share of new conversations, %",
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )
    state = models.CharField(
        max_length=12, choices=CanaryState.choices, default=CanaryState.RUNNING
    )
    min_replies = models.PositiveIntegerField(
        default=20, validators=[MinValueValidator(1)]
    )
    max_ttft_s = models.FloatField(
        "first token, 95th percentile (s)",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001)],
    )
    max_error_percent = models.FloatField(default=5.0, null=True, blank=True)
    max_thumbs_down_percent = models.FloatField(default=None, null=True, blank=True)
    max_handoff_percent = models.FloatField(default=None, null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "canaries"
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state="running"),
                name="canary_one_at_a_time",
                violation_error_message="Another candidate is on trial.",
            ),
            models.CheckConstraint(
                condition=Q(state="running", ended_at__isnull=True)
                | ~Q(state="running") & Q(ended_at__isnull=False),
                name="canary_ends_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.candidate} since {self.started_at:%Y-%m-%d %H:%M}"
