"""Sites and their system prompts."""

from typing import Any

from django.contrib import admin
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html

from support.models import Site, SystemPrompt


@admin.register(Site)
class SiteAdmin(admin.ModelAdmin):
    """Who may show the widget, and how it greets; with the tag to paste."""

    list_display = ["name", "key", "bot_name", "is_active"]
    readonly_fields = ["script_tag"]
    prepopulated_fields = {"key": ["name"]}

    @admin.display(description="Tag for the website")
    def script_tag(self, site: Site) -> str:
        """Return the tag that puts the widget on a page."""
        if not site.pk:
            return "Save first."
        return format_html(
            "<code>&lt;script async src=&quot;https://THIS-SERVER/widget.js&quot; "
            "data-site=&quot;{}&quot;&gt;&lt;/script&gt;</code>",
            site.key,
        )


@admin.register(SystemPrompt)
class SystemPromptAdmin(admin.ModelAdmin):
    """Versions of the system prompts: saving makes a new one, none is ever changed."""

    list_display = [
        "site",
        "version",
        "is_active",
        "comment",
        "created_by",
        "created_at",
    ]
    list_filter = ["site", "is_active"]
    actions = ["activate"]
    fields = ["site", "content", "comment", "version", "is_active", "created_by"]
    readonly_fields = ["version", "is_active", "created_by"]

    def has_delete_permission(
        self, request: HttpRequest, obj: SystemPrompt | None = None
    ) -> bool:
        """Refuse: replies point to their version."""
        return False

    def save_model(
        self, request: HttpRequest, obj: SystemPrompt, form: ModelForm, change: bool
    ) -> None:
        """Store the form as the next version and make it the active one."""
        obj.pk = None
        obj._state.adding = True
        obj.created_by = request.user  # type: ignore[assignment]  # staff are signed in
        with transaction.atomic():
            Site.objects.select_for_update().get(pk=obj.site_id)
            versions = SystemPrompt.objects.filter(site=obj.site)
            latest = versions.aggregate(latest=models.Max("version"))["latest"] or 0
            versions.filter(is_active=True).update(is_active=False)
            obj.version, obj.is_active = latest + 1, True
            obj.save(force_insert=True)

    @admin.action(description="Use this version from now on")
    def activate(self, request: HttpRequest, chosen: Any) -> None:
        """Make the chosen version of each site the active one."""
        with transaction.atomic():
            for prompt in chosen:
                versions = SystemPrompt.objects.filter(site=prompt.site)
                versions.filter(is_active=True).update(is_active=False)
                versions.filter(pk=prompt.pk).update(is_active=True)
        self.message_user(request, "The chosen version is in use from now on.")
