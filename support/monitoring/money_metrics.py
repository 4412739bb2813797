"""Budgets and hourly costs as Prometheus reads them; a budget of all has no backend."""

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from inference.hourly import find_current, read_hourly_costs
from support.monitoring import spending

_LABELS = ("backend", "period", "of")
_BUDGETS = (
    ("chat_budget_limit_usd", "How much may be spent in the period"),
    ("chat_budget_spent_usd", "How much is spent of it"),
    ("chat_budget_in_flight_usd", "How much calls that are not over may cost at most"),
    ("chat_budget_used_ratio", "Which part of the limit is spent"),
)


def build_metrics() -> Iterator[Metric]:
    """Yield the gauges. Two queries without a budget."""
    now = timezone.now()
    families = [
        GaugeMetricFamily(name, meaning, labels=_LABELS) for name, meaning in _BUDGETS
    ]
    for standing in spending.read_standings(now):
        budget = standing.budget
        of = "visitor" if budget.is_per_visitor else "all"
        labels = [str(budget.backend or ""), budget.period, of]
        values = (
            budget.limit_usd,
            standing.booked_usd,
            standing.in_flight_usd,
            standing.share,
        )
        for family, value in zip(families, values, strict=True):
            family.add_metric(labels, float(value))
    yield from families
    reserved = GaugeMetricFamily(
        "chat_reserved_usd_per_hour",
        "What an hour of our own hardware costs, used or not",
        labels=["backend"],
    )
    for name, costs in read_hourly_costs().items():
        current = find_current(costs, now)
        if current is not None:
            reserved.add_metric([name], float(current.total_usd))
    yield reserved
