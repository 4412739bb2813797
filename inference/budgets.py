"""Keeps what calls cost within the operator's budgets, however many run at once.

Before a call the most that it may cost is reserved, in one transaction that holds the
locks of all budgets that count for it: of two calls that both fit alone, but not
together, one is refused. After it the reservation becomes what the call did cost. A
worker that dies leaves its reservations behind; a sweep books them in full, as the
calls may have been billed.

A day or month is that of the server's time zone, and a call belongs to the one in which
it began. A backend that sends bills and whose price is unknown is left out while it has
a budget: nobody could say that the budget is kept. One of our own machines costs
nothing by the call, so no budget stops it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import CharField, F, Q, Sum, Value
from django.utils import timezone
from django.utils.crypto import salted_hmac

from inference.history import store_event
from inference.models import (
    Backend,
    Budget,
    BudgetPeriod,
    EventKind,
    Reservation,
    Spend,
)
from inference.pricing import build_highest_cost, round_usd
from inference.routing.gates import FREE, NO_CALL, Pass, Refused
from inference.routing.plan import Asker
from inference.routing.usage import bound_usage
from inference.types import AttemptReport, CompletionRequest

logger = logging.getLogger(__name__)

ReadRow = Callable[[str], Backend | None]
# how many tokens a call to the backend of that name may write at most
BoundReply = Callable[[str, CompletionRequest], int]

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


class BudgetGate:
    """Lets calls pass that their budgets pay for; threads share it.

    `read_row` returns a backend's row by its name. One that says by its attribute
    `has_budget` that none counts for it costs no query.
    """

    def __init__(self, read_row: ReadRow, bound_reply: BoundReply) -> None:
        self._read_row = read_row
        self._bound_reply = bound_reply

    def admit(self, backend: str, request: CompletionRequest, asker: Asker) -> Pass:
        """Return leave for a call once its cost is reserved; raises Refused.

        Four queries: the price, the budgets with their locks, the sums, and the
        reservation.
        """
        row = self._read_row(backend)
        if row is None or not getattr(row, "has_budget", True):
            return FREE
        now = timezone.now()
        most = bound_usage(request, self._bound_reply(backend, request))
        highest_usd = build_highest_cost(most, row, now)
        if highest_usd == 0:
            return FREE
        today, visitor = timezone.localdate(now), hash_visitor(asker.visitor)
        decision = _reserve(row, today, visitor, highest_usd)
        _tell_of_alerts(decision.standings)
        if decision.short is not None:
            raise _refuse(row, decision.short, highest_usd or Decimal(0))
        if decision.reservation is None:
            return FREE
        return _Reserved(decision.reservation, decision.standings)


@dataclass(frozen=True, slots=True)
class _Decision:
    """What became of a wish: a reservation, or the budget that is too `short` for it.

    Neither where there is no budget.
    """

    standings: Sequence[Standing] = ()
    short: Standing | None = None
    reservation: Reservation | None = None


class _Reserved:
    """Leave for one call, whose highest cost is reserved."""

    def __init__(self, reservation: Reservation, standings: Sequence[Standing]) -> None:
        self._reservation = reservation
        self._standings = standings

    def settle(self, report: AttemptReport) -> None:
        """Book what the call cost in the place of what was reserved.

        In full where that is not known. Two queries, one more for a visitor's budget.
        Never raises for the database: the sweep books what is left behind.
        """
        cost_usd = Decimal(0) if report is NO_CALL else report.cost_usd
        if cost_usd is None:
            cost_usd = self._reservation.usd
        try:
            _settle(self._reservation, cost_usd)
            _tell_of_alerts(self._standings, cost_usd)
        except DatabaseError:
            logger.exception("backend=%s not booked yet", self._reservation.backend)


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
    standings = _read_standings(for_all, today, "") if for_all else []
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
        num_booked += _settle(reservation, reservation.usd, is_late=True)
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


def _reserve(
    row: Backend, today: date, visitor: str, highest_usd: Decimal | None
) -> _Decision:
    """Reserve a call's highest cost if all budgets pay for it.

    Three queries in one transaction. Raises Refused if the cost is not known.
    """
    with transaction.atomic():
        # in their order, so that no two calls wait for each other
        budgets = list(
            Budget.objects.select_for_update()
            .filter(
                Q(backend=row) | Q(backend=None),
                is_per_visitor__in=[False, True] if visitor else [False],
            )
            .order_by("pk")
        )
        if not budgets:
            return _Decision()
        if highest_usd is None:
            raise Refused("its price is not known, so its budget could not be kept")
        standings = _read_standings(budgets, today, visitor, row)
        for standing in standings:
            if standing.left_usd < highest_usd:
                return _Decision(standings, short=standing)
        is_for_visitor = any(budget.is_per_visitor for budget in budgets)
        reservation = Reservation.objects.create(
            backend=row.name,
            day=today,
            visitor=visitor if is_for_visitor else "",
            usd=highest_usd,
            created_at=timezone.now(),
        )
    return _Decision(standings, reservation=reservation)


def _read_standings(
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


def _refuse(row: Backend, standing: Standing, highest_usd: Decimal) -> Refused:
    """Return the refusal in words; staff are told once a period if nothing is left."""
    budget = standing.budget
    words = describe_budget(budget)
    if budget.limit_usd - standing.booked_usd >= highest_usd:
        return Refused(f"calls in flight may use up {words}")
    untold = Budget.objects.exclude(spent_for=standing.first_day)
    is_news = untold.filter(pk=budget.pk).update(spent_for=standing.first_day)
    why = f"over {words}: ${standing.booked_usd.normalize():f} are spent"
    if is_news:
        _tell(EventKind.BUDGET_SPENT, row.name if budget.backend_id else "", why)
    return Refused(why)


def describe_budget(budget: Budget) -> str:
    """Return a budget in words, to go on a sentence about a backend with."""
    sum_text = f"${budget.limit_usd.normalize():f} {budget.get_period_display()}"
    whose = "for each visitor" if budget.is_per_visitor else ""
    which = "" if budget.backend_id else "for all backends"
    parts = ("its budget of" if budget.backend_id else "the budget of", sum_text)
    return " ".join(filter(None, [*parts, which, whose]))


def _tell_of_alerts(
    standings: Iterable[Standing], more_usd: Decimal = Decimal(0)
) -> None:
    """Tell staff of budgets that are nearly spent, once a period. No query else."""
    for standing in standings:
        budget, booked_usd = standing.budget, standing.booked_usd + more_usd
        is_told = budget.alerted_for == standing.first_day
        if is_told or booked_usd < standing.alert_usd:
            continue
        untold = Budget.objects.exclude(alerted_for=standing.first_day)
        is_news = untold.filter(pk=budget.pk).update(alerted_for=standing.first_day)
        budget.alerted_for = standing.first_day
        if is_news:
            of = str(budget.backend) if budget.backend_id else ""
            spent = f"${booked_usd.normalize():f} are spent of"
            _tell(EventKind.BUDGET_ALERT, of, f"{spent} {describe_budget(budget)}")


def _tell(kind: EventKind, backend: str, text: str) -> None:
    logger.warning("backend=%s %s", backend or "all", text)
    store_event(backend, kind, text)


def _settle(reservation: Reservation, cost_usd: Decimal, is_late: bool = False) -> bool:
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
