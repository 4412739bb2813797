"""The operator's pages of prices, hourly costs and budgets."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils import timezone

from inference.models import Backend, Budget, HourlyCost, Price
from inference.pricing import build_highest_cost
from inference.spends import Standing, read_standings
from inference.types import Usage

NONE = "-"


@admin.register(Price)
class PriceAdmin(admin.ModelAdmin):
    """What tokens cost where the operator knows better than the published lists."""

    list_display = [
        "__str__", "input_usd_per_mtok", "cached_input_usd_per_mtok",
        "cache_write_usd_per_mtok", "output_usd_per_mtok", "reasoning_usd_per_mtok",
        "valid_from", "valid_to", "source",
    ]  # fmt: skip
    list_select_related = ["backend"]
    list_filter = ["backend"]
    search_fields = ["model", "backend__name", "source"]
    fieldsets = [
        (
            None,
            {
                "fields": ["backend", "model"],
                "description": "Goes before the published prices. A call keeps the "
                "cost that it had when it ended: nothing here changes the past.",
            },
        ),
        (
            "Input",
            {
                "fields": [
                    "input_usd_per_mtok",
                    "cached_input_usd_per_mtok",
                    "cache_write_usd_per_mtok",
                ]
            },
        ),
        ("Output", {"fields": ["output_usd_per_mtok", "reasoning_usd_per_mtok"]}),
        (
            "From when to when",
            {
                "fields": ["valid_from", "valid_to", "source"],
                "description": "For a new price add a row that is valid from its day "
                "on: the newest row that is valid when a call begins counts.",
            },
        ),
    ]


@admin.register(HourlyCost)
class HourlyCostAdmin(admin.ModelAdmin):
    """What machines of one's own cost for an hour."""

    list_display = [
        "backend", "hardware_usd", "power_usd", "num_machines", "total", "valid_from",
    ]  # fmt: skip
    list_select_related = ["backend"]
    list_filter = ["backend"]

    @admin.display(description="all machines, $ an hour")
    def total(self, row: HourlyCost) -> str:
        """Return what an hour of all machines costs."""
        return f"${row.total_usd.normalize():f}"


@admin.register(Budget)
class BudgetAdmin(admin.ModelAdmin):
    """How much backends may cost, and how much they did."""

    list_display = [
        "__str__", "limit_usd", "spent", "in_flight", "share", "alert_percent", "state",
    ]  # fmt: skip
    list_select_related = ["backend"]
    readonly_fields = ["spent", "in_flight", "share", "state"]
    fieldsets = [
        (
            None,
            {
                "fields": ["backend", "period", "is_per_visitor"],
                "description": "Days and months are those of the server's time zone. A "
                "backend whose price is unknown is left out while it has a budget; "
                "machines of one's own cost nothing by the call, so no budget stops "
                "them.",
            },
        ),
        (None, {"fields": ["limit_usd", "alert_percent"]}),
        ("Now", {"fields": ["spent", "in_flight", "share", "state"]}),
    ]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list with how each budget stands."""
        changelist = super().get_changelist_instance(request)
        standings = _read_by_key()
        for budget in changelist.result_list:
            budget.standing = standings.get(budget.pk)
        return changelist

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return a budget with how it stands."""
        budget = super().get_object(request, object_id, from_field)
        if budget is not None:
            budget.standing = _read_by_key().get(budget.pk)
        return budget

    def save_model(
        self, request: HttpRequest, obj: Budget, form: forms.ModelForm, change: bool
    ) -> None:
        """Store a budget, whose alerts begin anew; warn of what it would stop."""
        if {"limit_usd", "alert_percent", "period"} & set(form.changed_data):
            obj.alerted_for = obj.spent_for = None
        super().save_model(request, obj, form, change)
        unpriced = [row.name for row in _find_unpriced(obj)]
        if unpriced:
            self.message_user(
                request,
                "No price is known of " + ", ".join(unpriced) + ". It is left out "
                "until there is one, as nobody could say that the budget is kept.",
                messages.WARNING,
            )

    @admin.display(description="spent")
    def spent(self, budget: Budget) -> str:
        """Return what is booked; of the visitor who spent most for one of each."""
        standing = _standing_of(budget)
        return f"${standing.booked_usd.normalize():f}" if standing else NONE

    @admin.display(description="in flight, at most")
    def in_flight(self, budget: Budget) -> str:
        """Return what calls that are not over may cost."""
        standing = _standing_of(budget)
        return f"${standing.in_flight_usd.normalize():f}" if standing else NONE

    @admin.display(description="of the limit")
    def share(self, budget: Budget) -> str:
        """Return the part that is spent."""
        standing = _standing_of(budget)
        return f"{standing.share * 100:.0f} %" if standing else NONE

    @admin.display(description="state")
    def state(self, budget: Budget) -> str:
        """Return how it stands, in a word."""
        standing = _standing_of(budget)
        return standing.state if standing else NONE


def _read_by_key() -> dict[int, Standing]:
    today = timezone.localdate()
    return {standing.budget.pk: standing for standing in read_standings(today)}


def _standing_of(budget: Budget) -> Standing | None:
    standing = getattr(budget, "standing", None)  # none while it is being added
    return standing if isinstance(standing, Standing) else None


def _find_unpriced(budget: Budget) -> list[Backend]:
    """Return the enabled backends that a budget counts for and nobody can price."""
    rows = Backend.objects.filter(is_enabled=True).defer("key")
    if budget.backend_id is not None:
        rows = rows.filter(pk=budget.backend_id)
    now, any_usage = timezone.now(), Usage(1, 1)
    return [row for row in rows if build_highest_cost(any_usage, row, now) is None]
