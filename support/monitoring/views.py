"""The monitoring page of the admin."""

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from inference.hourly import read_hourly_costs
from support.monitoring import engines, health, selectors, spending
from support.monitoring.engine_table import build_engine_table
from support.monitoring.money_tables import (
    build_budget_table,
    build_hardware_table,
    build_spending_table,
    build_unpriced_table,
)
from support.monitoring.panels import Page, build_panels, build_summary, build_tiles
from support.monitoring.periods import DEFAULT_PERIOD, PERIODS, build_window


@never_cache
@require_safe
@permission_required("support.view_attempt", raise_exception=True)
def monitoring(request: HttpRequest) -> HttpResponse:
    """Show latency, cost and load of `?period=`, of `?backend=` or of all.

    Eleven queries besides those of every admin page, and those of the budgets. What is
    unknown counts as not asked for.
    """
    period = PERIODS.get(request.GET.get("period", ""), DEFAULT_PERIOD)
    now = timezone.now()
    window = build_window(period, now)
    calls = selectors.read_calls(window)
    backend = request.GET.get("backend", "")
    page = Page(
        calls, selectors.count_turns(window), backend if backend in calls.names else ""
    )
    context = admin.site.each_context(request) | {
        "title": "Monitoring",
        "page": page,
        "periods": PERIODS.values(),
        "tiles": build_tiles(page),
        "summary": build_summary(page),
        "panels": build_panels(page),
        "engines": build_engine_table(engines.read_engines()),
        "pulses": health.read_pulses(),
        "hardware": build_hardware_table(page, read_hourly_costs()),
        "spending": build_spending_table(spending.read_spending(now)),
        "budgets": build_budget_table(spending.read_standings(now)),
        "unpriced": build_unpriced_table(spending.read_unpriced(now)),
    }
    return render(request, "support/monitoring.html", context)
