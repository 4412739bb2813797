"""A visitor's question and what became of it."""

from django.db import models
from django.db.models import F, Q

from inference.models import Queue
from support.models.conversation import Conversation
from support.models.ids import new_id
from support.models.message import Message
from support.models.prompt import SystemPrompt


class TurnState(models.TextChoices):
    """Where a turn is; the last three are final and a turn reaches exactly one."""

    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    ANSWERED = "answered", "answered"
    STOPPED = "stopped", "stopped by the visitor"
    FAILED = "failed", "failed"


OPEN_STATES = (TurnState.QUEUED, TurnState.RUNNING)


class Turn(models.Model):
    """A question and what became of it; its state changes by compare-and-swap only.

    `attempt` numbers the texts that the reply had: it goes up when a worker claims
    the turn and when a reply is reset, and every write of a worker names the attempt
    it believes in, so that a worker that was replaced changes nothing. `num_claims`
    counts workers. `checkpoint` is the text of attempt `checkpoint_attempt` that
    survives a crash of the reply buffer.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="turns"
    )
    question = models.OneToOneField(
        Message, on_delete=models.CASCADE, related_name="asked_turn"
    )
    reply = models.OneToOneField(
        Message,
        on_delete=models.RESTRICT,
        null=True,
        blank=True,
        related_name="replied_turn",
    )
    prompt = models.ForeignKey(
        SystemPrompt,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        help_text="The system prompt's version that the reply was written with.",
    )
    state = models.CharField(
        max_length=10, choices=TurnState.choices, default=TurnState.QUEUED
    )
    attempt = models.PositiveIntegerField(default=0)
    num_claims = models.PositiveSmallIntegerField(default=0)
    queue = models.CharField(
        max_length=10,
        blank=True,
        choices=Queue.choices,
        help_text="Whose backends are left to try; empty where all are.",
    )
    lease_owner = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    is_stop_requested = models.BooleanField(default=False)
    checkpoint = models.TextField(blank=True)
    checkpoint_attempt = models.PositiveIntegerField(default=0)
    published_at = models.DateTimeField(
        help_text="When a job for this turn was last put into the queue."
    )
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    spilled_from = models.CharField(
        max_length=100,
        blank=True,
        help_text="The backend that was too busy to answer in time.",
    )
    trace = models.JSONField(
        default=list,
        blank=True,
        help_text="Why which backend was asked, in sentences, in their order.",
    )

    class Meta:
        indexes = [
            # the reaper: open turns whose job or lease is old
            models.Index(
                fields=["state", "published_at"],
                condition=Q(state__in=["queued", "running"]),
                name="turn_open",
            ),
            # the claim: earlier open turns of the same conversation
            models.Index(fields=["conversation", "state"], name="turn_conversation"),
            # monitoring: how the turns of a window ended
            models.Index(fields=["finished_at", "state"], name="turn_window"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=TurnState.values), name="turn_state_known"
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=["queued", "running"],
                    finished_at__isnull=True,
                    reply__isnull=True,
                )
                | Q(
                    state__in=["answered", "stopped", "failed"],
                    finished_at__isnull=False,
                    reply__isnull=False,
                ),
                name="turn_finished_with_outcome",
            ),
            models.CheckConstraint(
                condition=Q(checkpoint_attempt__lte=F("attempt")),
                name="turn_checkpoint_of_known_attempt",
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.id} ({self.state})"
