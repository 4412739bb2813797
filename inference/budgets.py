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
from datetime import date
from decimal import Decimal

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from inference import spends
from inference.history import store_event
from inference.models import Backend, Budget, EventKind, Reservation
from inference.pricing import build_highest_cost
from inference.routing.gates import FREE, NO_CALL, Pass, Refused
from inference.routing.plan import Asker
from inference.routing.usage import bound_usage
from inference.spends import Standing, hash_visitor, read_standings_of
from inference.types import AttemptReport, CompletionRequest

logger = logging.getLogger(__name__)

ReadRow = Callable[[str], Backend | None]
# how many tokens a call to the backend of that name may write at most
BoundReply = Callable[[str, CompletionRequest], int]


class BudgetGate:
    """Lets calls pass that their budgets pay for; threads share it.

    `read_row` returns the row of a backend that has a budget by its name.
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
        if row is None:
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
            spends.settle(self._reservation, cost_usd)
            _tell_of_alerts(self._standings, cost_usd)
        except DatabaseError:
            logger.exception("backend=%s not booked yet", self._reservation.backend)


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
        standings = read_standings_of(budgets, today, visitor, row)
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
