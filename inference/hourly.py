"""What machines of our own cost: by the hour that they stand ready, and by the call.

The same money is charged in two ways. A call's share is that of the time for which it
kept an engine computing, so that the shares of all calls are what the busy hours cost.
The reserved cost of a period is that of every hour of it, idle ones too: what is paid.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from inference.models import Backend, HourlyCost
from inference.pricing import round_usd

_HOUR_MS = 3_600_000
_HOUR_US = 3_600_000_000
_MICROSECOND = timedelta(microseconds=1)


def build_share(busy_ms: int, row: Backend, at: datetime) -> Decimal | None:
    """Return what a call cost that kept an engine busy, None if an hour has no cost.

    By the cost of one machine at the time that the call began. One query.
    """
    cost = row.hourly_costs.filter(valid_from__lte=at).order_by("-valid_from").first()
    return None if cost is None else round_usd(cost.machine_usd * busy_ms / _HOUR_MS)


def read_hourly_costs() -> Mapping[str, Sequence[HourlyCost]]:
    """Return all costs by the name of the backend, earliest first. One query."""
    costs: dict[str, list[HourlyCost]] = defaultdict(list)
    for cost in HourlyCost.objects.select_related("backend").order_by("valid_from"):
        costs[cost.backend.name].append(cost)
    return costs


def find_current(costs: Sequence[HourlyCost], at: datetime) -> HourlyCost | None:
    """Return the cost that counts at a time, of a backend's costs, earliest first."""
    return next((cost for cost in reversed(costs) if cost.valid_from <= at), None)


def add_up_reserved(
    costs: Sequence[HourlyCost], start: datetime, end: datetime
) -> Decimal | None:
    """Return what the hours from `start` to `end` cost, None before the first cost.

    `costs` are those of one backend, earliest first; each counts until the next.
    """
    parts = [
        cost.total_usd * _microseconds(since, until) / _HOUR_US
        for cost, since, until in _clip(costs, start, end)
    ]
    return round_usd(sum(parts, Decimal(0))) if parts else None


def count_machine_ms(
    costs: Sequence[HourlyCost], start: datetime, end: datetime
) -> int:
    """Return for how long machines stood ready, theirs added up, in milliseconds."""
    return sum(
        cost.num_machines * _microseconds(since, until) // 1000
        for cost, since, until in _clip(costs, start, end)
    )


def _clip(
    costs: Sequence[HourlyCost], start: datetime, end: datetime
) -> Iterable[tuple[HourlyCost, datetime, datetime]]:
    """Yield each cost with the part of the period in which it counts."""
    beginnings = [cost.valid_from for cost in costs]
    for cost, (since, until) in zip(costs, pairwise([*beginnings, end]), strict=True):
        since, until = max(since, start), min(until, end)
        if since < until:
            yield cost, since, until


def _microseconds(since: datetime, until: datetime) -> int:
    return (until - since) // _MICROSECOND
