"""The tables of the monitoring page that are about money."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from inference.hourly import add_up_reserved, count_machine_ms, find_current
from inference.models import HourlyCost
from inference.spends import Standing
from support.monitoring import formats
from support.monitoring.figures import Figures
from support.monitoring.panels import Page, Table
from support.monitoring.spending import Spending, Spent, Unpriced, add_up

_HOUR_MS = 3_600_000


def build_spending_table(spending: Sequence[Spending]) -> Table:
    """Return a row for each backend with calls this month, and one for all."""
    rows = [_spending_row(each) for each in spending]
    if len(rows) > 1:
        rows.append(_spending_row(add_up(spending)))
    part = ("cost", "of it estimated", "unpriced calls")
    return Table(("Backend", *part, *part), rows, (("", 1), ("Today", 3), ("Month", 3)))


def build_budget_table(standings: Sequence[Standing]) -> Table:
    """Return a row for each budget."""
    columns = ("Budget", "limit", "spent", "in flight", "left", "spent, %", "state")
    return Table(columns, [_budget_row(standing) for standing in standings])


def build_unpriced_table(unpriced: Sequence[Unpriced]) -> Table:
    """Return a row for each model without a known price."""
    columns = ("Backend", "model", "calls", "usage unknown, too")
    rows = [
        [
            each.backend,
            each.model or formats.NONE,
            formats.count(each.num_calls),
            formats.count(each.num_unused),
        ]
        for each in unpriced
    ]
    return Table(columns, rows)


def build_hardware_table(
    page: Page, costs: Mapping[str, Sequence[HourlyCost]]
) -> Table:
    """Return a row for each backend that has an hourly cost, since calls were read.

    Charged both ways: by the share of the time for which calls kept it busy, and as
    reserved, which is what is paid.
    """
    names = [page.backend] if page.backend else sorted(costs)
    rows = [_hardware_row(name, page, costs[name]) for name in names if name in costs]
    columns = (
        "Backend", "an hour", "machines", "busy", "of the time", "by busy time",
        "reserved", "by busy time", "reserved",
    )  # fmt: skip
    groups = (
        ("", 1), ("Now", 2), ("Computing", 2), ("Cost", 2), ("1,000 replies", 2),
    )  # fmt: skip
    return Table(columns, [row for row in rows if row], groups)


def _spending_row(spending: Spending) -> list[str]:
    cells = (_spent_cells(part) for part in (spending.today, spending.month))
    return [spending.backend, *(cell for part in cells for cell in part)]


def _spent_cells(spent: Spent) -> list[str]:
    is_unpriced = spent.usd is None and spent.num_unpriced
    return [
        "unpriced" if is_unpriced else formats.usd(spent.usd),
        formats.usd(spent.estimated_usd) if spent.estimated_usd else formats.NONE,
        formats.count(spent.num_unpriced),
    ]


def _budget_row(standing: Standing) -> list[str]:
    budget = standing.budget
    return [
        str(budget),
        formats.usd(budget.limit_usd),
        formats.usd(standing.booked_usd),
        formats.usd(standing.in_flight_usd),
        formats.usd(max(standing.left_usd, Decimal(0))),
        f"{standing.share * 100:.0f} %",
        standing.state,
    ]


def _hardware_row(
    name: str, page: Page, costs: Sequence[HourlyCost]
) -> list[str] | None:
    """Return the row of a backend; None if it had no cost in that time."""
    start, end = page.calls.covered_from, page.window.end
    reserved_usd = add_up_reserved(costs, start, end)
    if reserved_usd is None:
        return None
    figures = page.calls.total(name)
    current = find_current(costs, end)
    machine_ms = count_machine_ms(costs, start, end)
    return [
        name,
        formats.usd(current.total_usd if current else None),
        formats.count(current.num_machines if current else None),
        f"{formats.decimal(figures.busy_ms / _HOUR_MS)} h",
        formats.share(figures.busy_ms, machine_ms),
        formats.usd(figures.known_hardware_usd),
        formats.usd(reserved_usd),
        _per_thousand(figures, figures.known_hardware_usd),
        _per_thousand(figures, reserved_usd),
    ]


def _per_thousand(figures: Figures, hardware_usd: Decimal | None) -> str:
    """Return what a thousand replies cost with what their provider bills, if any."""
    if hardware_usd is None or not figures.num_replies:
        return formats.NONE
    return formats.usd((hardware_usd + figures.cost_usd) * 1000 / figures.num_replies)
