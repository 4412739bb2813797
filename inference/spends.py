"""What calls have cost and may yet cost: the sums that budgets are held against.

A reservation is what a call in flight may cost at most. It becomes a spend when the
call is over; a sweep makes spends of those whose workers died.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import CharField, F, Q, Sum, Value
from django.utils import timezone
from django.utils.crypto import salted_hmac

from inference.models import Backend, Budget, BudgetPeriod, Reservation, Spend
from inference.pricing import round_usd

logger = logging.getLogger(__name__)

# sums of visitors are of no use once their month is over
_KEPT = timedelta(days=62)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stands on a day, for one visitor if it is one of each visitor.

    `in_flight_usd` is what calls that are not over may cost at most.
    """

    budget: Budget
    first_day: date
    booked_usd: Decimal
    in_flight_usd: Decimal

    @property
    def alert_usd(self) -> Decimal:
        """Return at what sum staff are told."""
        return self.budget.limit_usd * self.budget.alert_percent / 100

    @property
    def left_usd(self) -> Decimal:
        """Return what may still be reserved; below 0 after a limit was lowered."""
        return self.budget.limit_usd - self.booked_usd - self.in_flight_usd

    @property
    def share(self) -> Decimal:
        """Return which part of the limit is spent; above 1 after it was lowered."""
        return self.booked_usd / self.budget.limit_usd

    @property
    def state(self) -> str:
        """Return in a word how it stands."""
        if self.budget.spent_for == self.first_day or self.share >= 1:
            return "spent"
        return "nearly spent" if self.booked_usd >= self.alert_usd else "open"


def hash_visitor(visitor: str) -> str:
    """Return the word under which a visitor's spends are stored, empty for nobody."""
    if not visitor:
        return ""
    return salted_hmac("inference.budgets", visitor, algorithm="sha256").hexdigest()


def read_standings(today: date) -> list[Standing]:
    """Return how all budgets stand, one of each visitor by who spent most of it.

    Two queries, one without a budget, and one for each budget of each visitor.
    """
    rows = list(Budget.objects.select_related("backend").order_by("pk"))
    for_all = [budget for budget in rows if not budget.is_per_visitor]
    standings = read_standings_of(for_all, today, "") if for_all else []
    standings += [_read_highest(each, today) for each in rows if each.is_per_visitor]
    return sorted(standings, key=lambda standing: str(standing.budget))


def book_at_least(backend: str, day: date, usd: Decimal) -> None:
    """Have at least that sum booked for a day. Two queries."""
    with transaction.atomic():
        spend, _ = Spend.objects.select_for_update().get_or_create(
            backend=backend, day=day, visitor=""
        )
        if spend.usd < usd:
            spend.usd = usd
            spend.save(update_fields=["usd"])


def sweep() -> int:
    """Book the reservations whose workers must be dead; return how many there were.

    Forgets what visitors cost long ago. Two queries, and those of the bookings.
    """
    longest = timedelta(seconds=settings.TURN_DEADLINE_S + 60)
    dead = Reservation.objects.filter(created_at__lt=timezone.now() - longest)
    num_booked = 0
    for reservation in dead:
        num_booked += settle(reservation, reservation.usd, is_late=True)
        logger.warning(
            "backend=%s usd=%s booked in full: its worker is gone",
            reservation.backend,
            reservation.usd,
        )
    Spend.objects.filter(day__lt=timezone.localdate() - _KEPT).exclude(
        visitor=""
    ).delete()
    return num_booked


def find_first_day(period: str, today: date) -> date:
    """Return the day on which a period began."""
    return today.replace(day=1) if period == BudgetPeriod.MONTH else today


def read_standings_of(
    budgets: Sequence[Budget], today: date, visitor: str, row: Backend | None = None
) -> list[Standing]:
    """Return how budgets stand; those of one backend's calls if it is given.

    One query: both sums must be of the same moment, or a call that is settled between
    them would be in neither.
    """
    wanted = Q(day__gte=today.replace(day=1), visitor__in={"", visitor})
    in_flight = Q(day__gte=today.replace(day=1))
    if row is not None and all(budget.backend_id for budget in budgets):
        wanted &= Q(backend=row.name)
        in_flight &= Q(backend=row.name)
    columns = ("kind", "backend", "day", "visitor", "usd")
    booked = Spend.objects.filter(wanted).annotate(kind=_word("booked"))
    reserved = Reservation.objects.filter(in_flight).annotate(kind=_word("in flight"))
    rows = list(
        booked.values_list(*columns).union(reserved.values_list(*columns), all=True)
    )
    names = {} if row is None else {row.pk: row.name}
    return [_add_up(budget, today, visitor, names, rows) for budget in budgets]


def _read_highest(budget: Budget, today: date) -> Standing:
    """Return how a budget of each visitor stands for who spent most. One query."""
    first_day = find_first_day(budget.period, today)
    spends = Spend.objects.filter(day__gte=first_day).exclude(visitor="")
    if budget.backend is not None:
        spends = spends.filter(backend=budget.backend.name)
    sums = spends.values("visitor").annotate(highest=Sum("usd"))
    highest = sums.order_by("-highest").values_list("highest", flat=True).first()
    booked_usd = round_usd(Decimal(highest or 0))
    return Standing(budget, first_day, booked_usd, Decimal(0))


def _word(text: str) -> Value:
    return Value(text, output_field=CharField())


def _add_up(
    budget: Budget,
    today: date,
    visitor: str,
    names: dict[int, str],
    rows: Iterable[tuple[str, str, date, str, Decimal]],
) -> Standing:
    first_day = find_first_day(budget.period, today)
    whose = visitor if budget.is_per_visitor else ""
    name = ""
    if budget.backend_id is not None:
        name = names.get(budget.backend_id) or str(budget.backend)
    sums = {"booked": Decimal(0), "in flight": Decimal(0)}
    for kind, backend, day, of, usd in rows:
        is_of = of == whose if kind == "booked" or whose else True
        if day >= first_day and name in ("", backend) and is_of:
            sums[kind] += usd
    return Standing(budget, first_day, sums["booked"], sums["in flight"])


def settle(reservation: Reservation, cost_usd: Decimal, is_late: bool = False) -> bool:
    """Book a cost in the place of a reservation; return whether it was still there.

    If the sweep has booked it in full already, the difference is booked: its worker
    was alive after all. `is_late` is what the sweep says, which may come too late
    itself.
    """
    with transaction.atomic():
        num_deleted, _ = Reservation.objects.filter(pk=reservation.pk).delete()
        if num_deleted:
            _book(reservation, cost_usd)
        elif not is_late:
            _book(reservation, cost_usd - reservation.usd)
    return bool(num_deleted)


def _book(reservation: Reservation, usd: Decimal) -> None:
    """Add to the sum of all visitors, and to that of the reservation's."""
    if not usd:
        return
    for visitor in dict.fromkeys(["", reservation.visitor]):
        key = {
            "backend": reservation.backend,
            "day": reservation.day,
            "visitor": visitor,
        }
        if _add(key, usd):
            continue
        try:
            with transaction.atomic():
                Spend.objects.create(**key, usd=usd)
        except IntegrityError:  # another call was the day's first
            _add(key, usd)


def _add(key: dict[str, object], usd: Decimal) -> bool:
    return bool(Spend.objects.filter(**key).update(usd=F("usd") + usd))
