"""What happened to backends: events, tests by hand, drills of their fallback."""

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

    `conversation` is the synthetic one that it happens in. `is_proven` is whether the
    fault struck and another backend answered, None while that is not known. `took_ms`
    is from when a worker took the question to the end of the reply, `fallback_ms` to
    the other backend's first token. `asked_by` is empty for the nightly ones.
    """

    backend = models.CharField(max_length=100)
    fault = models.CharField(max_length=50)
    conversation = models.UUIDField(null=True, blank=True, unique=True)
    asked_by = models.CharField(max_length=150, blank=True)
    is_proven = models.BooleanField(null=True)
    answered_by = models.CharField(max_length=100, blank=True)
    fallback_ms = models.PositiveIntegerField(null=True, blank=True)
    took_ms = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(
        max_digits=14,
        decimal_places=8,
        null=True,
        blank=True,
        help_text="Of the calls that were really made; empty if not known.",
    )
    shown = models.TextField(blank=True, help_text="What a customer would have seen.")
    report = models.TextField(blank=True, help_text="The decisions, in words.")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["backend", "-at"], name="drill_latest")]

    def __str__(self) -> str:
        return f"{self.fault} at {self.backend}"


class BackendTest(models.Model):
    """One short call that an operator made to see whether a backend works.

    `is_passed` is None while it runs. Its call is in no conversation and in no ledger;
    what it cost is here.
    """

    backend = models.CharField(max_length=100)
    asked_by = models.CharField(max_length=150, blank=True)
    is_passed = models.BooleanField(null=True)
    text = models.TextField(blank=True, help_text="What it answered.")
    problem = models.TextField(blank=True, help_text="Why it failed, in words.")
    model = models.CharField(max_length=200, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    ttft_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True
    )
    at = models.DateTimeField(default=timezone.now)
    began_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["backend", "-at"], name="backend_test_latest")]

    def __str__(self) -> str:
        return f"test of {self.backend}"

    @property
    def tokens_per_s(self) -> float | None:
        """Return how fast it wrote after its first token; None if that is not known."""
        return writing_speed(self.completion_tokens, self.ttft_ms, self.duration_ms)


def writing_speed(
    completion_tokens: int | None, ttft_ms: int | None, duration_ms: int | None
) -> float | None:
    """Return the tokens per second after a call's first; None if not known."""
    if completion_tokens is None or ttft_ms is None or duration_ms is None:
        return None
    if completion_tokens < 2 or duration_ms <= ttft_ms:
        return None
    return (completion_tokens - 1) / (duration_ms - ttft_ms) * 1000
