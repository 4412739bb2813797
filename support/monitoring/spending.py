"""What calls cost today and this month, and how budgets stand: reads, and upkeep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from inference import spends
from inference.models import Budget
from inference.pricing import round_usd
from inference.spends import Standing
from support.chat.worker_thread import WorkerThread
from support.models import Attempt, AttemptOutcome

SWEEP_S = 30.0
# of the models without a price so many are named
MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Spent:
    """What the calls to a backend cost since a day began.

    `usd` is None when no call has a price. `estimated_usd` is the part whose tokens we
    counted ourselves, `num_unpriced` the ended calls that are in neither.
    """

    usd: Decimal | None
    estimated_usd: Decimal
    num_unpriced: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What the calls to a backend cost today and this month."""

    backend: str
    today: Spent
    month: Spent


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The ended calls of this month to a model whose cost is not known.

    For `num_unused` of them the backend did not even say what they used.
    """

    backend: str
    model: str
    num_calls: int
    num_unused: int


def read_spending(now: datetime) -> list[Spending]:
    """Return what each backend with calls this month cost, by name. One query."""
    today = timezone.localdate(now)
    is_today = Q(started_at__gte=_begin(today))
    rows = (
        _ended_since(today.replace(day=1))
        .values("backend")
        .annotate(**_sums("month", Q()), **_sums("today", is_today))
        .order_by("backend")
    )
    return [
        Spending(row["backend"], _build_spent(row, "today"), _build_spent(row, "month"))
        for row in rows
    ]


def read_unpriced(now: datetime) -> list[Unpriced]:
    """Return the models whose calls of this month have no known cost, most first.

    At most `MAX_NAMED`. One query.
    """
    first_day = timezone.localdate(now).replace(day=1)
    rows = (
        _ended_since(first_day)
        .filter(cost_usd=None)
        .values("backend", "model")
        .annotate(
            num_calls=Count("pk"),
            num_unused=Count("pk", filter=Q(prompt_tokens=None)),
        )
        .order_by("-num_calls", "backend", "model")
    )
    return [Unpriced(**row) for row in rows[:MAX_NAMED]]


def read_standings(now: datetime) -> list[Standing]:
    """Return how the budgets stand. Two queries, one without a budget."""
    return spends.read_standings(timezone.localdate(now))


@receiver(post_save, sender=Budget)
def take_in(instance: Budget, created: bool, **_: object) -> None:
    """Book what was spent since the month began, when a budget is made.

    Before that nobody did: calls without a budget are in the ledger alone. What was
    booked for an earlier budget stays where it is more.
    """
    if not created:
        return
    since = timezone.localdate().replace(day=1)
    calls = _ended_since(since).filter(cost_usd__gt=0)
    if instance.backend is not None:
        calls = calls.filter(backend=instance.backend.name)
    rows = (
        calls.annotate(day=TruncDate("started_at"))
        .values("backend", "day")
        .annotate(usd=Sum("cost_usd"))
        .order_by()
    )
    for row in rows:
        spends.book_at_least(row["backend"], row["day"], round_usd(row["usd"]))


class Sweeper(WorkerThread):
    """The thread of a worker that books what dead workers had reserved."""

    name = "spend-sweeper"
    complaint = "the reservations of dead workers could not be booked"

    @property
    def interval_s(self) -> float:
        """Return how long to wait before each sweep."""
        return SWEEP_S

    def do_round(self) -> None:
        """Sweep."""
        spends.sweep()


def _begin(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _ended_since(day: date) -> QuerySet[Attempt]:
    calls = Attempt.objects.filter(started_at__gte=_begin(day))
    return calls.exclude(outcome=AttemptOutcome.RUNNING)


def _sums(name: str, during: Q) -> dict[str, Any]:
    estimated = during & Q(is_usage_estimated=True)
    return {
        f"{name}_usd": Sum("cost_usd", filter=during),
        f"{name}_estimated_usd": Sum("cost_usd", filter=estimated),
        f"{name}_unpriced": Count("pk", filter=during & Q(cost_usd=None)),
    }


def _build_spent(row: Mapping[str, Any], name: str) -> Spent:
    usd, estimated_usd = row[f"{name}_usd"], row[f"{name}_estimated_usd"]
    # SQLite adds up floats; the ledger's column has eight places
    return Spent(
        None if usd is None else round_usd(Decimal(usd)),
        round_usd(Decimal(estimated_usd or 0)),
        row[f"{name}_unpriced"],
    )


def add_up(parts: Sequence[Spending]) -> Spending:
    """Return what all backends cost together."""
    return Spending(
        "All",
        _add_up([part.today for part in parts]),
        _add_up([part.month for part in parts]),
    )


def _add_up(parts: Sequence[Spent]) -> Spent:
    known = [part.usd for part in parts if part.usd is not None]
    return Spent(
        sum(known, Decimal(0)) if known else None,
        sum((part.estimated_usd for part in parts), Decimal(0)),
        sum(part.num_unpriced for part in parts),
    )
