"""Turns, read only: what each reply was made from, its calls and what they cost."""

from collections.abc import Collection
from decimal import Decimal

from django.contrib import admin
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from support.admin.drill_filters import TurnDrillFilter
from support.admin.read_only import ReadOnly
from support.models import Attempt, AttemptOutcome, Turn, UsedPassage

NONE = "-"  # as the admin shows an empty column; an inline would show "None"


def describe_cost(attempts: Collection[Attempt]) -> str:
    """Return what calls cost in US dollars; unpriced and free are not the same.

    It says how much of it is estimated: the backend did not count the tokens.
    """
    if not attempts:
        return NONE
    known = [item.cost_usd for item in attempts if item.cost_usd is not None]
    total = sum(known, Decimal(0))
    sum_text = f"${total.normalize():f}" if total else "free"
    guessed = [item.cost_usd for item in attempts if item.is_usage_estimated]
    guessed_usd = sum(filter(None, guessed), Decimal(0))
    if guessed_usd:
        part = "" if guessed_usd == total else f"${guessed_usd.normalize():f} of it "
        sum_text += f" ({part}estimated)"
    if len(known) == len(attempts):
        return sum_text
    is_running = any(item.finished_at is None for item in attempts)
    unknown = "not yet known" if is_running else "unpriced"
    return f"{sum_text} and {unknown}" if total else unknown


class TurnColumns:
    """Columns of a turn with the sums over its calls; no query after `with_calls`."""

    @staticmethod
    def with_calls(turns: QuerySet[Turn]) -> QuerySet[Turn]:
        """Return the turns with what the columns read; one more query for all."""
        return turns.select_related("question").prefetch_related("attempts")

    @admin.display(description="Question")
    def question_text(self, turn: Turn) -> str:
        """Return the beginning of the question."""
        return turn.question.content[:80]

    @admin.display(description="Backends asked")
    def backends(self, turn: Turn) -> str:
        """Return the backends in the order they were asked; the last one answered."""
        return " → ".join(attempt.backend for attempt in turn.attempts.all()) or NONE

    @admin.display(description="Tokens")
    def total_tokens(self, turn: Turn) -> int | str:
        """Return the prompt and completion tokens of all calls."""
        counts = [
            count
            for attempt in turn.attempts.all()
            for count in (attempt.prompt_tokens, attempt.completion_tokens)
            if count is not None
        ]
        return sum(counts) if counts else NONE

    @admin.display(description="Duration (ms)")
    def total_ms(self, turn: Turn) -> int | str:
        """Return the duration of all calls that have ended."""
        durations = [
            attempt.duration_ms
            for attempt in turn.attempts.all()
            if attempt.duration_ms is not None
        ]
        return sum(durations) if durations else NONE

    @admin.display(description="Cost")
    def cost(self, turn: Turn) -> str:
        """Return what all calls cost."""
        return describe_cost(turn.attempts.all())


class TurnInline(TurnColumns, ReadOnly, admin.TabularInline):
    """The turns of a conversation, each with a link to its own page."""

    model = Turn
    fields = ("question_text", "state", "backends", "total_tokens", "total_ms", "cost")
    readonly_fields = fields
    ordering = ["question__seq"]
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Turn]:
        """Return the turns with their calls."""
        return self.with_calls(super().get_queryset(request))


class UsedPassageInline(ReadOnly, admin.TabularInline):
    """The passages of the prompt."""

    model = UsedPassage
    fields = ("rank", "source", "text", "score", "is_cited")
    readonly_fields = fields

    @admin.display(description="Article")
    def source(self, used: UsedPassage) -> str:
        """Return the title as a link to the public page."""
        return format_html('<a href="{}">{}</a>', used.url, used.title)


class AttemptInline(ReadOnly, admin.TabularInline):
    """The calls to models."""

    model = Attempt
    fields = (
        "number", "backend", "place", "model", "outcome", "error", "prompt_tokens",
        "cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens",
        "queue_ms", "ttft_ms", "duration_ms", "cost", "hardware", "request_id",
    )  # fmt: skip
    readonly_fields = fields

    @admin.display(description="Computed")
    def place(self, attempt: Attempt) -> str:
        """Return where the call was computed, and whether the text left the house."""
        where = ", ".join(filter(None, [attempt.host, attempt.region])) or "here"
        return f"{where} (left the house)" if attempt.left_house else where

    @admin.display(description="Cost")
    def cost(self, attempt: Attempt) -> str:
        """Return what the call cost."""
        return describe_cost([attempt])

    @admin.display(description="Hardware")
    def hardware(self, attempt: Attempt) -> str:
        """Return the share of our own hardware's cost."""
        usd = attempt.hardware_usd
        return NONE if usd is None else f"${usd.normalize():f}"


class CallFilter(admin.SimpleListFilter):
    """Turns with a call that fits all filters of calls at once, each turn once."""

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> QuerySet[Model]:
        """Return the turns with such a call."""
        if not self.value():
            return queryset
        wanted = {
            name: value
            for name in ("backend", "outcome")
            if (value := request.GET.get(name))
        }
        return queryset.filter(
            Exists(Attempt.objects.filter(turn=OuterRef("pk"), **wanted))
        )


class BackendFilter(CallFilter):
    """By a backend that was asked; also one that is no more."""

    title = "backend asked"
    parameter_name = "backend"

    def lookups(
        self, request: HttpRequest, model_admin: object
    ) -> list[tuple[str, str]]:
        """Return the names in the ledger. One query."""
        names = Attempt.objects.order_by("backend").values_list("backend", flat=True)
        return [(name, name) for name in names.distinct()]


class OutcomeFilter(CallFilter):
    """By what became of a call."""

    title = "outcome of a call"
    parameter_name = "outcome"

    def lookups(
        self, request: HttpRequest, model_admin: object
    ) -> list[tuple[str, str]]:
        """Return the outcomes."""
        return list(AttemptOutcome.choices)


@admin.register(Turn)
class TurnAdmin(TurnColumns, ReadOnly, admin.ModelAdmin):
    """Questions and what became of them."""

    list_display = [
        "created_at", "state", "question_text", "backends",
        "total_tokens", "total_ms", "cost", "reply_text",
    ]  # fmt: skip
    list_filter = [
        "state",
        BackendFilter,
        OutcomeFilter,
        TurnDrillFilter,
        "conversation__site",
        "created_at",
    ]
    list_select_related = ["question", "reply"]
    date_hierarchy = "created_at"
    search_fields = ["question__content", "reply__content"]
    ordering = ["-created_at"]
    inlines = [UsedPassageInline, AttemptInline]
    exclude = ["trace"]
    readonly_fields = ["decisions"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Turn]:
        """Return the turns with their calls."""
        return self.with_calls(super().get_queryset(request))

    @admin.display(description="Decisions")
    def decisions(self, turn: Turn) -> str:
        """Return why which backend was asked, a sentence a line."""
        if not turn.trace:
            return NONE
        sentences = ((sentence,) for sentence in turn.trace)
        return format_html(
            "<ol>{}</ol>", format_html_join("", "<li>{}</li>", sentences)
        )

    @admin.display(description="Reply")
    def reply_text(self, turn: Turn) -> str:
        """Return the beginning of the reply."""
        return turn.reply.content[:120] if turn.reply else ""
