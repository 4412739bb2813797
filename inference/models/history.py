"""What happened to backends: events, and the drills that proved their fallback."""

from django.db import models
from django.utils import timezone


class EventKind(models.TextChoices):
    """What can happen to a backend."""

    BREAKER_OPENED = "breaker_opened", "breaker opened"
    BREAKER_TRIED = "breaker_tried", "breaker tried again"
    BREAKER_CLOSED = "breaker_closed", "breaker closed"
    BREAKER_RESET = "breaker_reset", "breaker reset by hand"
    SPILL_BEGAN = "spill_began", "spill began"
    SPILL_ENDED = "spill_ended", "spill ended"
    BUDGET_ALERT = "budget_alert", "budget nearly spent"
    BUDGET_SPENT = "budget_spent", "budget spent"
    CANARY_STARTED = "canary_started", "canary started"
    CANARY_ENDED = "canary_ended", "canary ended"


class BackendEvent(models.Model):
    """Something that happened to a backend, in words for the operator."""

    backend = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=EventKind.choices)
    text = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["backend", "-at"], name="backend_event_latest")]

    def __str__(self) -> str:
        return f"{self.backend}: {self.get_kind_display()}"


class Drill(models.Model):
    """A rehearsed failure of a backend, and what a customer would have seen.

    `is_proven` is whether another backend answered; `took_ms` from the question to the
    end of its reply, `fallback_ms` to its first token.
    """

    backend = models.CharField(max_length=100)
    fault = models.CharField(max_length=50)
    is_proven = models.BooleanField()
    answered_by = models.CharField(max_length=100, blank=True)
    fallback_ms = models.PositiveIntegerField(null=True, blank=True)
    took_ms = models.PositiveIntegerField()
    shown = models.TextField(blank=True, help_text="What a customer would have seen.")
    report = models.TextField(blank=True, help_text="The decisions, in words.")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["backend", "-at"], name="drill_latest")]

    def __str__(self) -> str:
        return f"{self.fault} at {self.backend}"
