"""Conversations, read only: what was said, and the turns it took."""

from django.contrib import admin
from django.utils.safestring import SafeString, mark_safe

from support.admin.drill_filters import DrillFilter
from support.admin.read_only import ReadOnly
from support.admin.turns import TurnInline
from support.chat.rendering import render_html
from support.models import Conversation, Message


class MessageInline(ReadOnly, admin.TabularInline):
    """The messages in their order."""

    model = Message
    ordering = ["seq"]
    fields = ("seq", "role", "text", "rating", "created_at")
    readonly_fields = fields

    @admin.display(description="Text")
    def text(self, message: Message) -> SafeString:
        """Return the message as the visitor sees it: sanitised HTML."""
        return mark_safe(render_html(message))  # noqa: S308 - sanitised by nh3


@admin.register(Conversation)
class ConversationAdmin(ReadOnly, admin.ModelAdmin):
    """What visitors asked and got."""

    list_display = ["id", "site", "status", "last_seq", "created_at", "updated_at"]
    list_filter = ["status", DrillFilter, "is_private", "site", "created_at"]
    date_hierarchy = "created_at"
    search_fields = ["messages__content"]
    ordering = ["-updated_at"]
    inlines = [MessageInline, TurnInline]
