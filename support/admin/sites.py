"""Sites and their system prompts."""

from typing import cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html

from support.models import Site, SystemPrompt, activate_prompt, store_prompt


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
        author = cast("User", request.user)  # staff are signed in
        stored = store_prompt(obj.site, obj.content, obj.comment, author)
        obj.pk = stored.pk
        obj.refresh_from_db()  # the log and the next page are about the new version

    @admin.action(description="Use this version from now on")
    def activate(self, request: HttpRequest, chosen: QuerySet[SystemPrompt]) -> None:
        """Make the chosen version of each site the active one."""
        if len({prompt.site_id for prompt in chosen}) < len(chosen):
            text = "Choose one version of a site."
            self.message_user(request, text, messages.ERROR)
            return
        for prompt in chosen:
            activate_prompt(prompt)
        self.message_user(request, "The chosen version is in use from now on.")
