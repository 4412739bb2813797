"""Shows the history of a row on its page: who changed what, before and after."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditlog.models import LogEntry
from django import template
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from inference.changes import TRACKED

register = template.Library()

_NUM_SHOWN = 20
_EMPTY = {"None", ""}


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of one column."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody did to a row at once."""

    at: datetime
    who: str
    did: str
    changes: list[Changed]


@register.inclusion_tag("support/admin/changes.html")
def history_of(row: Model | None) -> dict[str, Any]:
    """Return the latest changes of a tracked row; empty for others. One query."""
    if row is None or not isinstance(row, TRACKED) or row.pk is None:
        return {"entries": None}
    found = LogEntry.objects.get_for_object(row).select_related("actor")
    latest = found.order_by("-timestamp", "-pk")[:_NUM_SHOWN]
    return {"entries": [describe(entry) for entry in latest]}


def describe(entry: Any) -> Entry:
    """Return an entry of the log in words; no query if its actor was read."""
    changes = [
        Changed(_name_of(entry, column), _say(before), _say(after))
        for column, (before, after) in sorted(entry.changes_dict.items())
        if entry.action == LogEntry.Action.UPDATE or _say(after) != "-"
    ]
    who = entry.actor.get_username() if entry.actor else "the system"
    return Entry(entry.timestamp, who, entry.get_action_display(), changes)


def _name_of(entry: Any, column: str) -> str:
    model = entry.content_type.model_class()
    if model is None:  # it is no more
        return column
    try:
        return str(model._meta.get_field(column).verbose_name)
    except FieldDoesNotExist:
        return column


def _say(value: object) -> str:
    return "-" if str(value) in _EMPTY else str(value)
