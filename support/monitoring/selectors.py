"""What the monitoring page reads: named reads, each with its number of queries."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import (
    Aggregate,
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from inference.models import Backend
from inference.pricing import round_usd
from support.models import (
    Attempt,
    AttemptOutcome,
    Conversation,
    Notice,
    Turn,
    TurnState,
)
from support.monitoring.figures import Figures, add_up
from support.monitoring.periods import Window

# What one page may read. Above it the window begins later, and the page says so.
MAX_CALLS = 250_000
EVERY_TURN = Q()


class ListOf(Aggregate):
    """The values of a group as the text of a JSON list; without those that are NULL."""

    function = "JSON_GROUP_ARRAY"
    output_field = TextField()
    allow_distinct = False

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Return the SQL of Postgres, as text: its driver would parse the list."""
        sql, values = self.as_sql(compiler, connection, function="JSON_AGG", **extra)
        return f"({sql})::text", values


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a window; a group for each backend and step that had any.

    `names` are the backends of the window and those that are switched on now.
    `covered_from` is later than the window's start if there were too many calls.
    """

    window: Window
    covered_from: datetime
    names: list[str]
    groups: Mapping[tuple[str, int], Figures]

    @property
    def is_cut(self) -> bool:
        """Return whether the window holds more calls than were read."""
        return self.covered_from > self.window.start

    @property
    def duration_s(self) -> float:
        """Return for how long calls were read, in seconds; at least 1 s."""
        return max((self.window.end - self.covered_from).total_seconds(), 1.0)

    def total(self, backend: str = "") -> Figures:
        """Return the figures of a backend, of all without a name."""
        return add_up(
            part for (name, _), part in self.groups.items() if backend in ("", name)
        )

    def by_step(self, backend: str = "") -> list[Figures]:
        """Return the figures of each step of the window."""
        steps: list[list[Figures]] = [[] for _ in self.window.starts]
        for (name, step), part in self.groups.items():
            if backend in ("", name):
                steps[step].append(part)
        return [add_up(parts) for parts in steps]


def read_calls(window: Window) -> Calls:
    """Return the calls that began in a window, at most the latest `MAX_CALLS`.

    Three queries, whose rows are bounded by backends times steps.
    """
    covered_from = _find_start(window)
    groups = {
        (row["backend"], row["step"]): _build_figures(row)
        for row in _group_calls(window, covered_from)
    }
    enabled = Backend.objects.filter(is_enabled=True).values_list("name", flat=True)
    names = sorted({name for name, _ in groups} | set(enabled))
    return Calls(window, covered_from, names, groups)


def count_turns(window: Window) -> list[Counter[str]]:
    """Return how the turns that ended in each step ended: their states, counted.

    Under `Notice.REPLY_EXCERPT` how many of the failed ones got an excerpt of an
    article. Three queries: the first is answered by the index alone, the others read
    the few turns of fire drills, which do not count, and those with an excerpt.
    """
    steps: list[Counter[str]] = [Counter() for _ in window.starts]
    for row in _group_turns(window):
        steps[row["step"]][TurnState(row["state"])] += row["number"]
    drilled = Q(conversation__in=_drilled())
    for row in _group_turns(window, drilled):
        steps[row["step"]][TurnState(row["state"])] -= row["number"]
    excerpts = Q(state=TurnState.FAILED, reply__notice=Notice.REPLY_EXCERPT) & ~drilled
    for row in _group_turns(window, excerpts):
        steps[row["step"]][Notice.REPLY_EXCERPT] += row["number"]
    return steps


def _group_turns(window: Window, only: Q = EVERY_TURN) -> QuerySet[Any, Any]:
    return (
        Turn.objects.filter(
            only, finished_at__gte=window.start, finished_at__lt=window.end
        )
        .annotate(step=_step_of("finished_at", window))
        .values("step", "state")
        # not of the key, which the index does not hold
        .annotate(number=Count("*"))
        .order_by()
    )


def _drilled() -> QuerySet[Any, Any]:
    """Return the conversations of fire drills: few, and found by an index."""
    return Conversation.objects.filter(is_synthetic=True).values("pk")


def _drill_turns() -> QuerySet[Any, Any]:
    return Turn.objects.filter(conversation__in=_drilled()).values("pk")


def _find_start(window: Window) -> datetime:
    """Return where the latest `MAX_CALLS` calls of the window begin."""
    earlier = (
        Attempt.objects.filter(started_at__gte=window.start, started_at__lt=window.end)
        .exclude(turn__in=_drill_turns())
        .order_by("-started_at")
        .values_list("started_at", flat=True)[MAX_CALLS : MAX_CALLS + 1]
    )
    return max([window.start, *earlier])


def _step_of(column: str, window: Window) -> Case:
    """Return the number of the step that a time is in."""
    whens = [
        When(**{f"{column}__lt": start}, then=Value(number))
        for number, start in enumerate(window.starts[1:])
    ]
    last = Value(len(window.starts) - 1)
    return Case(*whens, default=last, output_field=IntegerField())


def _group_calls(window: Window, covered_from: datetime) -> QuerySet[Any, Any]:
    completed = Q(outcome=AttemptOutcome.COMPLETED)
    ended = ~Q(outcome=AttemptOutcome.RUNNING)
    another = Attempt.objects.filter(
        turn=OuterRef("turn"), number__lt=OuterRef("number")
    ).exclude(backend=OuterRef("backend"))
    written = completed & Q(
        ttft_ms__isnull=False,
        completion_tokens__gt=1,
        duration_ms__gt=F("ttft_ms"),
    )
    return (
        Attempt.objects.filter(started_at__gte=covered_from, started_at__lt=window.end)
        .exclude(turn__in=_drill_turns())
        .annotate(step=_step_of("started_at", window))
        .values("backend", "step")
        .annotate(
            num_calls=Count("pk"),
            num_replies=Count("pk", filter=completed),
            num_failed=Count("pk", filter=Q(outcome=AttemptOutcome.FAILED)),
            num_lost=Count("pk", filter=Q(outcome=AttemptOutcome.LOST)),
            num_cancelled=Count("pk", filter=Q(outcome=AttemptOutcome.CANCELLED)),
            num_fallbacks=Count(
                "pk", filter=completed & Q(number__gt=1) & Q(Exists(another))
            ),
            num_priced=Count("cost_usd"),
            num_unpriced=Count("pk", filter=ended & Q(cost_usd__isnull=True)),
            cost_usd_sum=Sum("cost_usd"),
            estimated_usd_sum=Sum("cost_usd", filter=Q(is_usage_estimated=True)),
            num_shared=Count("hardware_usd"),
            hardware_usd_sum=Sum("hardware_usd"),
            busy_ms_sum=Coalesce(Sum("busy_ms"), 0),
            prompt_tokens_sum=Coalesce(Sum("prompt_tokens"), 0),
            cached_tokens_sum=Coalesce(Sum("cached_tokens"), 0),
            completion_tokens_sum=Coalesce(Sum("completion_tokens"), 0),
            writing_tokens=Coalesce(Sum(F("completion_tokens") - 1, filter=written), 0),
            writing_ms=Coalesce(
                Sum(F("duration_ms") - F("ttft_ms"), filter=written), 0
            ),
            ttft_ms_list=ListOf("ttft_ms", filter=Q(ttft_ms__isnull=False)),
            duration_ms_list=ListOf(
                "duration_ms", filter=completed & Q(duration_ms__isnull=False)
            ),
            queue_ms_list=ListOf("queue_ms", filter=Q(number=1)),
        )
        .order_by()
    )


def _build_figures(row: Mapping[str, Any]) -> Figures:
    """Return a row of `_group_calls` as figures."""
    values: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("backend", "step"):
            continue
        if name.endswith("_list"):
            values[name.removesuffix("_list")] = json.loads(value or "[]")
        else:
            values[name.removesuffix("_sum")] = value
    for name in ("cost_usd", "estimated_usd", "hardware_usd"):
        # SQLite adds up floats; the ledger's column has eight places
        values[name] = round_usd(Decimal(values[name] or 0))
    return Figures(**values)
