"""What backends cost: tokens of a call, hours of a machine."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from inference.models.backend import Backend

# dollars to a millionth of one, not negative
_USD: Mapping[str, Any] = {
    "max_digits": 12,
    "decimal_places": 6,
    "validators": [MinValueValidator(0)],
}


def _not_negative(name: str) -> Q:
    """Return the condition that a value, if there is one, is not negative."""
    return Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gte": 0})


class Price(models.Model):
    """What an operator knows tokens to cost; goes before the prices that ship with us.

    A row counts for one backend, one model, or one model on one backend, from
    `valid_from` on and before `valid_to`. Of the rows that fit a call, one for its
    backend goes before one for any, then one for its model, then the newest.
    """

    backend = models.ForeignKey(
        Backend,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="prices",
        help_text="Empty means every backend that runs the model.",
    )
    model = models.CharField(
        max_length=200,
        blank=True,
        help_text="As the backend or its API names it. Empty means every model of the "
        "backend.",
    )
    input_usd_per_mtok = models.DecimalField("input, $ per million tokens", **_USD)
    cached_input_usd_per_mtok = models.DecimalField(
        "cached input, $ per million tokens",
        null=True,
        blank=True,
        help_text="Empty means the same as other input.",
        **_USD,
    )
    output_usd_per_mtok = models.DecimalField("output, $ per million tokens", **_USD)
    cache_write_usd_per_mtok = models.DecimalField(
        "written to the cache, $ per million tokens",
        null=True,
        blank=True,
        help_text="Empty means the same as other input.",
        **_USD,
    )
    reasoning_usd_per_mtok = models.DecimalField(
        "reasoning, $ per million tokens",
        null=True,
        blank=True,
        help_text="Empty means the same as other output.",
        **_USD,
    )
    valid_from = models.DateTimeField(
        default=timezone.now,
        help_text="Calls that began earlier keep their cost. A new price is a new row.",
    )
    valid_to = models.DateTimeField(
        null=True, blank=True, help_text="Empty means until a newer price."
    )
    source = models.CharField(
        max_length=200, blank=True, help_text="Where the price is from: a page, a bill."
    )

    class Meta:
        ordering = ["-valid_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(backend__isnull=False) | ~Q(model=""),
                name="price_of_something",
                violation_error_message="Choose a backend, name a model, or both.",
            ),
            models.CheckConstraint(
                condition=Q(input_usd_per_mtok__gte=0)
                & Q(output_usd_per_mtok__gte=0)
                & _not_negative("cached_input_usd_per_mtok"),
                name="price_not_negative",
            ),
            models.CheckConstraint(
                condition=_not_negative("cache_write_usd_per_mtok")
                & _not_negative("reasoning_usd_per_mtok"),
                name="price_parts_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")),
                name="price_ends_after_it_began",
                violation_error_message="A price must end after it begins.",
            ),
            models.UniqueConstraint(
                fields=["backend", "model", "valid_from"], name="price_once_a_time"
            ),
        ]

    def __str__(self) -> str:
        return " on ".join(filter(None, [self.model, str(self.backend or "")]))


class HourlyCost(models.Model):
    """What it costs for an hour to have a model ready on machines of one's own.

    The row with the newest `valid_from` counts until the next one.
    """

    backend = models.ForeignKey(
        Backend, on_delete=models.CASCADE, related_name="hourly_costs"
    )
    hardware_usd = models.DecimalField(
        "hardware, $ an hour",
        help_text="Of one machine: its rent, or its price by the hours of its life.",
        **_USD,
    )
    power_usd = models.DecimalField(
        "power, $ an hour",
        default=0,
        help_text="Of one machine: its kilowatts, times the price of a kilowatt hour.",
        **_USD,
    )
    num_machines = models.PositiveSmallIntegerField(
        "machines",
        default=1,
        validators=[MinValueValidator(1)],
        help_text="How many run this backend.",
    )
    valid_from = models.DateTimeField(
        default=timezone.now,
        help_text="Counts from then until a later row. A machine that is given back "
        "is a new row of $0.",
    )

    class Meta:
        ordering = ["-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["backend", "valid_from"], name="hourly_cost_once_a_time"
            ),
            models.CheckConstraint(
                condition=Q(hardware_usd__gte=0) & Q(power_usd__gte=0),
                name="hourly_cost_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(num_machines__gte=1), name="hourly_cost_of_a_machine"
            ),
        ]

    def __str__(self) -> str:
        return f"an hour of {self.backend}"

    @property
    def machine_usd(self) -> Decimal:
        """Return what an hour of one machine costs."""
        return self.hardware_usd + self.power_usd

    @property
    def total_usd(self) -> Decimal:
        """Return what an hour of all machines costs."""
        return self.machine_usd * self.num_machines
