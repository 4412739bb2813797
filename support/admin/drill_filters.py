"""Lists of staff show visitors, not the fire drills that look like them."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest


class DrillFilter(admin.SimpleListFilter):
    """Hides the conversations of fire drills, where nobody is, unless asked for."""

    title = "fire drills"
    parameter_name = "drills"
    path = "is_synthetic"

    def lookups(
        self, request: HttpRequest, model_admin: object
    ) -> list[tuple[str, str]]:
        """Return the other choice; the first one hides."""
        return [("yes", "Show only fire drills")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield both choices; the one without a value says what it does."""
        first, *others = super().choices(changelist)
        yield first | {"display": "Hide"}
        yield from others

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> QuerySet[Model]:
        """Return the rows with visitors, or those of drills."""
        return queryset.filter(**{self.path: self.value() == "yes"})


class TurnDrillFilter(DrillFilter):
    """The same for turns."""

    path = "conversation__is_synthetic"
