"""Conversations, read only: what was said, and the turns it took."""

from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
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
    change_form_template = "support/admin/conversation.html"

    def get_urls(self) -> list[URLPattern]:
        """Return the pages, with the switch that makes a conversation private."""
        switch = path(
            "<uuid:pk>/private/",
            self.admin_site.admin_view(self.private_view),
            name="support_conversation_private",
        )
        return [switch, *super().get_urls()]

    def private_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Make a conversation private, or no longer so; its log says who did."""
        if not request.user.has_perm("support.change_conversation"):
            raise PermissionDenied
        if request.method != "POST":
            raise Http404("this is for a button")
        conversation = get_object_or_404(Conversation, pk=pk)
        is_private = request.POST.get("is_private") == "yes"
        changed = Conversation.objects.filter(pk=pk, is_private=not is_private)
        if changed.update(is_private=is_private):
            text = "Made private." if is_private else "Made no longer private."
            self.log_change(request, conversation, text)
            self.message_user(request, text)
        return HttpResponseRedirect(
            reverse("admin:support_conversation_change", args=[pk])
        )
