"""The operator's switches, trials, drills and the history of them."""

from typing import Any

from auditlog.models import LogEntry
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from inference.models import Canary, CanaryState, Drill, RoutingPolicy
from inference.rules import end_trial
from support.admin import switching
from support.admin.read_only import ReadOnly
from support.templatetags.changes import describe

admin.site.unregister(LogEntry)


@admin.register(RoutingPolicy)
class RoutingPolicyAdmin(admin.ModelAdmin):
    """One page for the one row: what holds for all replies, from the next one on."""

    fieldsets = [
        (
            "Privacy",
            {
                "fields": ["is_cloud_off"],
                "description": "With this on, no byte leaves the house: backends "
                "outside are not asked, not tested and not drilled.",
            },
        ),
        (
            "The ladder",
            {
                "fields": ["rung"],
                "description": "When all models fail, customers get the excerpt of a "
                "help article that fits best, or an apology and the offer of a person. "
                "Begin further down while you mend something, or to see how it looks.",
            },
        ),
        ("Fire drills", {"fields": ["drills_at"]}),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: there is one row, made when it is first looked at."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Go to the one row."""
        policy = RoutingPolicy.load()
        if policy._state.adding:
            policy.save()
        return HttpResponseRedirect(
            reverse("admin:inference_routingpolicy_change", args=[policy.pk])
        )


@admin.register(Canary)
class CanaryAdmin(admin.ModelAdmin):
    """Candidates on trial; one that began is stopped or ends by itself."""

    list_display = ["candidate", "share_percent", "state", "started_at", "reason"]
    list_filter = ["state"]
    actions = ["promote", "stop"]
    fields = [
        "candidate", "share_percent", "min_replies", "max_ttft_s", "max_error_percent",
        "max_thumbs_down_percent", "max_handoff_percent", "state", "started_at",
        "ended_at", "reason",
    ]  # fmt: skip
    readonly_fields = ["state", "started_at", "ended_at", "reason"]

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse: what was tried stays known."""
        return False

    @admin.action(description="Stop these trials", permissions=["change"])
    def stop(self, request: HttpRequest, chosen: QuerySet[Canary]) -> None:
        """End the chosen trials that still run; their conversations move on."""
        why = f"by {request.user.get_username()}"
        num_ended = sum(
            end_trial(canary, CanaryState.STOPPED, why)
            for canary in chosen.select_related("candidate")
        )
        self.message_user(request, f"{num_ended} stopped.", messages.SUCCESS)

    @admin.action(
        description="Promote: ask it first from now on", permissions=["change"]
    )
    def promote(
        self, request: HttpRequest, chosen: QuerySet[Canary]
    ) -> HttpResponse | None:
        """Lead to the switch card, which makes the candidate the default."""
        running = chosen.filter(state=CanaryState.RUNNING).select_related("candidate")
        canary = running.first()
        if canary is None:
            text = "Choose the trial that is running."
            self.message_user(request, text, messages.ERROR)
            return None
        places = switching.place_first(canary.candidate)
        return HttpResponseRedirect(switching.build_address(places))


@admin.register(Drill)
class DrillAdmin(ReadOnly, admin.ModelAdmin):
    """All fire drills."""

    list_display = [
        "at", "backend", "fault", "is_proven", "answered_by", "fallback_ms", "took_ms",
        "asked_by",
    ]  # fmt: skip
    list_filter = ["is_proven", "backend", "fault"]
    date_hierarchy = "at"


@admin.register(LogEntry)
class ChangeAdmin(ReadOnly, admin.ModelAdmin):
    """Who changed what; also of rows that are no more."""

    list_display = ["timestamp", "who", "content_type", "object_repr", "action", "what"]
    list_filter = ["action", "content_type"]
    list_select_related = ["actor", "content_type"]
    date_hierarchy = "timestamp"
    fields = ("timestamp", "who", "content_type", "object_repr", "action", "what")
    readonly_fields = fields

    @admin.display(description="Who")
    def who(self, entry: Any) -> str:
        """Return who it was."""
        return describe(entry).who

    @admin.display(description="What")
    def what(self, entry: Any) -> str:
        """Return the changes in a line each."""
        return "; ".join(
            f"{change.name}: {change.before} → {change.after}"
            for change in describe(entry).changes
        )
