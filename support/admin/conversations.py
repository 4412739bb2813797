"""Conversations, read only: what was said, what each reply was made from, its calls."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from support.chat.rendering import render_html
from support.models import Attempt, Conversation, Message, Turn, UsedPassage


class ReadOnly:
    """Takes the rights to add, change and delete; visitors and workers write these."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse."""
        return False


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
    list_filter = ["status", "site", "created_at"]
    search_fields = ["messages__content"]
    ordering = ["-updated_at"]
    inlines = [MessageInline]


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
        "number", "backend", "model", "outcome", "error", "prompt_tokens",
        "cached_tokens", "completion_tokens", "queue_ms", "ttft_ms", "duration_ms",
        "cost",
    )  # fmt: skip
    readonly_fields = fields

    @admin.display(description="Cost")
    def cost(self, attempt: Attempt) -> str:
        """Return the cost in US dollars; unpriced and free are not the same."""
        if attempt.cost_usd is None:
            return "not yet known" if attempt.finished_at is None else "unpriced"
        return f"${attempt.cost_usd.normalize():f}" if attempt.cost_usd else "free"


@admin.register(Turn)
class TurnAdmin(ReadOnly, admin.ModelAdmin):
    """Questions and what became of them."""

    list_display = ["created_at", "state", "question_text", "reply_text", "prompt"]
    list_filter = ["state", "created_at"]
    list_select_related = ["question", "reply", "prompt__site"]
    search_fields = ["question__content", "reply__content"]
    ordering = ["-created_at"]
    inlines = [UsedPassageInline, AttemptInline]

    @admin.display(description="Question")
    def question_text(self, turn: Turn) -> str:
        """Return the beginning of the question."""
        return turn.question.content[:80]

    @admin.display(description="Reply")
    def reply_text(self, turn: Turn) -> str:
        """Return the beginning of the reply."""
        return turn.reply.content[:120] if turn.reply else ""
