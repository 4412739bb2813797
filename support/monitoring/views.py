"""The monitoring page of the admin."""

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from support.monitoring import engines, health, selectors
from support.monitoring.engine_table import build_engine_table
from support.monitoring.panels import Page, build_panels, build_summary, build_tiles
from support.monitoring.periods import DEFAULT_PERIOD, PERIODS, build_window


@never_cache
@require_safe
@permission_required("support.view_attempt", raise_exception=True)
def monitoring(request: HttpRequest) -> HttpResponse:
    """Show latency, cost and load of `?period=`, of `?backend=` or of all.

    Nine queries besides those of every admin page. What is unknown counts as not asked
    for.
    """
    period = PERIODS.get(request.GET.get("period", ""), DEFAULT_PERIOD)
    window = build_window(period, timezone.now())
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
    }
    return render(request, "support/monitoring.html", context)
