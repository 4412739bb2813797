"""One visitor's chat."""

from django.db import models
from django.db.models import Q

from support.models.ids import new_id
from support.models.site import Site
from support.models.visitor import Visitor


class ConversationStatus(models.TextChoices):
    """Who answers."""

    BOT = "bot", "with the bot"
    WAITING = "waiting", "waiting for a person"


class Conversation(models.Model):
    """One visitor's chat; `last_seq` counts its messages without gaps.

    The counter is taken by an UPDATE in the transaction that stores the message, so
    that the database decides which of two messages came first.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    site = models.ForeignKey(
        Site, on_delete=models.CASCADE, related_name="conversations"
    )
    visitor = models.OneToOneField(
        Visitor, on_delete=models.CASCADE, related_name="conversation"
    )
    status = models.CharField(
        max_length=10,
        choices=ConversationStatus.choices,
        default=ConversationStatus.BOT,
    )
    last_seq = models.PositiveIntegerField(default=0)
    backend = models.CharField(
        max_length=100,
        blank=True,
        help_text="The backend that its replies stay with; empty before the first.",
    )
    is_private = models.BooleanField(
        "private",
        default=False,
        help_text="Its text is never sent out of the house.",
    )
    is_synthetic = models.BooleanField(
        default=False, help_text="Made by a fire drill; nobody is there."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    waiting_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # the admin's list: latest first, filtered by status
            models.Index(fields=["status", "-updated_at"], name="conversation_status"),
            # monitoring leaves these out
            models.Index(
                fields=["id"],
                condition=Q(is_synthetic=True),
                name="conversation_synthetic",
            ),
        ]

    def __str__(self) -> str:
        return f"conversation {self.id}"
