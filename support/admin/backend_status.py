"""How backends are doing now: named reads for the operator's pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.timesince import timesince

from inference import registry
from inference.models import (
    Backend,
    BackendEvent,
    Budget,
    BudgetPeriod,
    Drill,
    EventKind,
)
from inference.pricing import round_usd
from inference.routing.breaker import BreakerState
from inference.routing.breakers import Standing
from support.models import Attempt, AttemptOutcome, Conversation, Turn
from support.monitoring import engines
from support.monitoring.formats import number_of, share, usd

_SPILLS = (EventKind.SPILL_BEGAN, EventKind.SPILL_ENDED)


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of one backend, in words; `fields` are what a page shows."""

    name: str
    fields: dict[str, str]


def read_statuses(rows: Sequence[Backend]) -> dict[str, Status]:
    """Return how backends stand, by name.

    Eight queries, and two for each backend.
    """
    now = timezone.now()
    names = [row.name for row in rows]
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    breakers = registry.read_breakers(names)
    calls = {row["backend"]: row for row in _count_calls(names, today, now)}
    latest = _read_latest(names)
    engines_of = {engine.backend: engine.stats for engine in engines.read_engines()}
    spills, spilled = _read_spills(names), _count_spilled(names, today)
    budgets = _read_budgets()
    drills = _read_drills(names)
    statuses = {}
    for row in rows:
        counted = calls.get(row.name, {})
        fields = {
            "breaker": _describe_breaker(breakers[row.name]),
            "in_flight": str(counted.get("in_flight", 0)),
            "engine": _describe_engine(engines_of.get(row.name)),
            "spill": _describe_spill(row, spills.get(row.name), counted, spilled),
            "last_success": _describe_success(latest.get((row.name, True)), now),
            "last_error": _describe_error(latest.get((row.name, False)), now),
            "cost": _describe_cost(counted, budgets.get(row.pk)),
            "proven": _describe_drill(drills.get(row.name), now),
        }
        statuses[row.name] = Status(row.name, fields)
    return statuses


def _describe_breaker(standing: Standing) -> str:
    if standing.state is BreakerState.CLOSED:
        return "closed"
    wait = (
        f", tried again in {standing.open_for_s:.0f} s" if standing.open_for_s else ""
    )
    why = f": {standing.reason}" if standing.reason else ""
    return f"{standing.state.value.replace('_', ' ')}{wait}{why}"


def _drilled() -> QuerySet[Any, Any]:
    synthetic = Conversation.objects.filter(is_synthetic=True)
    return Turn.objects.filter(conversation__in=synthetic.values("pk")).values("pk")


def _count_calls(
    names: Sequence[str], today: datetime, now: datetime
) -> QuerySet[Any, Any]:
    """Return today's calls by backend. Those of fire drills are no traffic."""
    alive = now - timedelta(seconds=settings.TURN_DEADLINE_S)
    return (
        Attempt.objects.filter(backend__in=names, started_at__gte=min(today, alive))
        .exclude(turn__in=_drilled())
        .values("backend")
        .annotate(
            in_flight=Count(
                "pk", filter=Q(outcome=AttemptOutcome.RUNNING, started_at__gte=alive)
            ),
            num_calls=Count("pk", filter=Q(started_at__gte=today)),
            known_usd=Sum("cost_usd", filter=Q(started_at__gte=today)),
            num_unpriced=Count(
                "pk",
                filter=Q(cost_usd=None, started_at__gte=today)
                & ~Q(outcome=AttemptOutcome.RUNNING),
            ),
        )
        .order_by()
    )


def _read_latest(names: Sequence[str]) -> dict[tuple[str, bool], Attempt]:
    """Return each backend's last success (True) and failure. One query for each.

    The index of the ledger is by time, and what is older than a week is no news.
    """
    since = timezone.now() - timedelta(days=7)
    latest = {}
    for name in names:
        ended = Attempt.objects.filter(backend=name, started_at__gte=since)
        for outcome in (AttemptOutcome.COMPLETED, AttemptOutcome.FAILED):
            found = (
                ended.filter(outcome=outcome)
                .exclude(turn__in=_drilled())
                .order_by("-started_at")
                .first()
            )
            if found is not None:
                latest[name, outcome == AttemptOutcome.COMPLETED] = found
    return latest


def _read_spills(names: Sequence[str]) -> dict[str, BackendEvent]:
    return _read_newest(
        BackendEvent.objects.filter(backend__in=names, kind__in=_SPILLS)
    )


def _count_spilled(names: Sequence[str], today: datetime) -> dict[str, int]:
    """Return how many of today's turns were too many for each backend."""
    turns = Turn.objects.filter(
        spilled_from__in=names,
        finished_at__gte=today,
        conversation__is_synthetic=False,
    )
    counted = turns.values_list("spilled_from").annotate(Count("pk")).order_by()
    return dict(counted)


def _read_drills(names: Sequence[str]) -> dict[str, Drill]:
    return _read_newest(Drill.objects.filter(backend__in=names, is_proven=True))


def _read_newest(rows: QuerySet[Any]) -> dict[str, Any]:
    """Return each backend's row that was written last. One query."""
    newest = rows.order_by().values("backend").annotate(newest=Max("pk"))
    found = rows.model.objects.filter(pk__in=newest.values("newest"))
    return {row.backend: row for row in found}


def _read_budgets() -> dict[int | None, Budget]:
    """Return the budgets of a day by their backend."""
    days = Budget.objects.filter(period=BudgetPeriod.DAY, is_per_visitor=False)
    return {budget.backend_id: budget for budget in days}


def _describe_engine(stats: Any) -> str:
    if stats is None:
        return ""
    return f"{stats.num_running} replies at once, {stats.num_waiting} waiting"


def _describe_spill(
    row: Backend,
    event: BackendEvent | None,
    counted: Mapping[str, Any],
    spilled: Mapping[str, int],
) -> str:
    """Return the share of today's replies that went elsewhere, and whether they do."""
    if row.target_ttft_s is None:
        return "no target set"
    away = spilled.get(row.name, 0)
    words = (
        f"{share(away, away + counted.get('num_calls', 0))} today" if away else "none"
    )
    if event is not None and event.kind == EventKind.SPILL_BEGAN:
        words += f", spills since {timezone.localtime(event.at):%H:%M}"
    return words


def _describe_success(attempt: Attempt | None, now: datetime) -> str:
    if attempt is None:
        return "none in 7 days"
    ttft = "" if attempt.ttft_ms is None else f", first word in {attempt.ttft_ms} ms"
    return f"{_ago(attempt.started_at, now)}{ttft}"


def _describe_error(attempt: Attempt | None, now: datetime) -> str:
    if attempt is None:
        return "none in 7 days"
    detail = f": {attempt.error_detail[:80]}" if attempt.error_detail else ""
    return f"{attempt.error}, {_ago(attempt.started_at, now)}{detail}"


def _describe_cost(counted: Mapping[str, Any], budget: Budget | None) -> str:
    """Return today's cost against its budget; unpriced is not zero."""
    known_usd, num_unpriced = counted.get("known_usd"), counted.get("num_unpriced", 0)
    parts = []
    if known_usd is not None or not num_unpriced:
        # SQLite adds up floats
        parts.append(usd(round_usd(Decimal(known_usd or 0))))
    if num_unpriced:
        parts.append(number_of(num_unpriced, "unpriced call"))
    of = f" of {usd(budget.limit_usd)}" if budget is not None else ""
    calls = number_of(counted.get("num_calls", 0), "call")
    return f"{' and '.join(parts)}{of}, {calls}"


def _describe_drill(drill: Drill | None, now: datetime) -> str:
    if drill is None:
        return "never"
    return f"{_ago(drill.at, now)} ({drill.fault} → {drill.answered_by})"


def _ago(at: datetime, now: datetime) -> str:
    seconds = max((now - at).total_seconds(), 0)
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    return f"{timesince(at, now, depth=1)} ago"
