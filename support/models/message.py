"""One text by one author."""

from django.db import models
from django.db.models import Q

from support.models.conversation import Conversation
from support.models.ids import new_id


class Role(models.TextChoices):
    """Who wrote a message."""

    USER = "user", "visitor"
    ASSISTANT = "assistant", "assistant"
    STAFF = "staff", "staff"


class Notice(models.TextChoices):
    """What a message of ours announces, where it is not an answer."""

    HANDOFF_REQUESTED = "handoff_requested", "waiting for a person"
    REPLY_FAILED = "reply_failed", "no answer could be given"
    REPLY_EXCERPT = "reply_excerpt", "an excerpt of an article in place of an answer"
    REPLY_STOPPED = "reply_stopped", "stopped before the first word"
    REPLY_UNSURE = "reply_unsure", "no reliable answer was found"


class Rating(models.IntegerChoices):
    """The visitor's thumb."""

    UP = 1, "up"
    NONE = 0, "none"
    DOWN = -1, "down"


class Message(models.Model):
    """One text by one author; `seq` is its place in the conversation, from 1."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages"
    )
    seq = models.PositiveIntegerField()
    role = models.CharField(max_length=10, choices=Role.choices)
    content = models.TextField(blank=True)
    client_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - NULL is outside the unique constraint
    notice = models.CharField(max_length=20, choices=Notice.choices, blank=True)
    rating = models.SmallIntegerField(choices=Rating.choices, default=Rating.NONE)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["conversation", "seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "seq"], name="message_seq_unique"
            ),
            models.UniqueConstraint(
                fields=["conversation", "client_id"], name="message_client_id_unique"
            ),
            models.CheckConstraint(
                condition=Q(seq__gte=1), name="message_seq_from_one"
            ),
            models.CheckConstraint(
                condition=Q(role=Role.USER, client_id__isnull=False)
                | ~Q(role=Role.USER) & Q(client_id__isnull=True),
                name="message_client_id_of_users",
            ),
            models.CheckConstraint(
                condition=Q(rating__in=Rating.values), name="message_rating_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} message {self.seq}"
