"""How much may be spent, and what was."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from inference.models.backend import Backend


class BudgetPeriod(models.TextChoices):
    """For how long a budget lasts; both begin at midnight in the server's time zone."""

    DAY = "day", "a day"
    MONTH = "month", "a month"


class Budget(models.Model):
    """How much the calls to a backend may cost in a day or a month.

    Past `alert_percent` staff are told, at the limit the backend is left out. A budget
    of every visitor counts what each of them costs by itself. `alerted_for` and
    `spent_for` are the first days of the periods for which staff were told.
    """

    backend = models.ForeignKey(
        Backend,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="budgets",
        help_text="Empty means all backends together.",
    )
    period = models.CharField(
        max_length=5, choices=BudgetPeriod.choices, default=BudgetPeriod.DAY
    )
    is_per_visitor = models.BooleanField(
        "for each visitor",
        default=False,
        help_text="Each visitor may cost so much, instead of all together.",
    )
    limit_usd = models.DecimalField(
        "limit, $",
        max_digits=14,
        decimal_places=8,
        validators=[MinValueValidator(Decimal("0.00000001"))],
        help_text="A call that may cost more than is left is not made: the next "
        "backend is asked.",
    )
    alert_percent = models.PositiveSmallIntegerField(
        "alert at, %",
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Staff are told once a day or month, and calls go on.",
    )
    alerted_for = models.DateField(null=True, blank=True, editable=False)
    spent_for = models.DateField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["backend", "period", "is_per_visitor"],
                nulls_distinct=False,
                name="budget_unique",
                violation_error_message="There is such a budget already.",
            ),
            models.CheckConstraint(
                condition=Q(limit_usd__gt=0), name="budget_positive"
            ),
        ]

    def __str__(self) -> str:
        whose = " of each visitor" if self.is_per_visitor else ""
        return f"{self.backend or 'all backends'}, {self.period}{whose}"


class Spend(models.Model):
    """What the calls to a backend cost on one day, those of one visitor or of all.

    `visitor` is an opaque word, empty for the sum over all.
    """

    backend = models.CharField(max_length=100)
    day = models.DateField()
    visitor = models.CharField(max_length=64, blank=True)
    usd = models.DecimalField(max_digits=16, decimal_places=8, default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["backend", "day", "visitor"], name="spend_unique"
            )
        ]
        indexes = [models.Index(fields=["day"], name="spend_day")]

    def __str__(self) -> str:
        return f"{self.backend} on {self.day}"


class Reservation(models.Model):
    """What a call in flight may cost at most; becomes a spend when it ends.

    One whose worker died is counted as spent in the end: it may have been billed.
    """

    backend = models.CharField(max_length=100)
    day = models.DateField()
    visitor = models.CharField(max_length=64, blank=True)
    usd = models.DecimalField(max_digits=14, decimal_places=8)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"a call to {self.backend}"
