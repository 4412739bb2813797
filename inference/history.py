"""Writes down what happens to backends, for the operator."""

import logging
from datetime import timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from inference.models import BackendEvent, Canary, EventKind
from inference.routing.breaker import Change
from inference.routing.spill import Spill

logger = logging.getLogger(__name__)

_KEPT = timedelta(days=90)

_KINDS = {
    Change.OPENED: EventKind.BREAKER_OPENED,
    Change.TRIED: EventKind.BREAKER_TRIED,
    Change.CLOSED: EventKind.BREAKER_CLOSED,
    Change.RESET: EventKind.BREAKER_RESET,
}


def store_event(backend: str, kind: EventKind, text: str = "") -> None:
    """Store an event. Never raises: a reply is worth more than its history."""
    logger.info("backend=%s event=%s %s", backend, kind.value, text)
    try:
        BackendEvent.objects.create(backend=backend, kind=kind, text=text[:300])
    except DatabaseError:
        logger.exception("backend=%s event=%s is not stored", backend, kind.value)


def forget_old_events() -> int:
    """Delete events that are older than 90 days; return how many. One query."""
    oldest = timezone.now() - _KEPT
    num_deleted, _ = BackendEvent.objects.filter(at__lt=oldest).delete()
    return num_deleted


def store_change(backend: str, change: Change, words: str) -> None:
    """Store what changed of a backend's breaker."""
    store_event(backend, _KINDS[change], words)


def store_spill(backend: str, spill: Spill) -> None:
    """Store that a backend's spill began or ended."""
    foreseen = "not known" if spill.foreseen_s is None else f"{spill.foreseen_s:.1f} s"
    kind = EventKind.SPILL_BEGAN if spill.is_on else EventKind.SPILL_ENDED
    text = f"first word foreseen: {foreseen}, target: {spill.target_s:g} s"
    store_event(backend, kind, text)


@receiver(post_save, sender=Canary, dispatch_uid="history")
def store_start(instance: Canary, created: bool, **_: Any) -> None:
    """Store that a trial began."""
    if created:
        text = f"{instance.share_percent} % of new conversations"
        store_event(instance.candidate.name, EventKind.CANARY_STARTED, text)
