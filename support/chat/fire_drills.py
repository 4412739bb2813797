"""Begins fire drills: by hand, from the admin, and every night.

A drill is a question in a conversation of its own, which travels as every question
does: turn, job, worker, router, ledger. Only its backend's failure is made up.
"""

import logging
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from inference.backends.faulty import Fault
from inference.drills import list_drilled
from inference.models import Drill, RoutingPolicy
from support.chat import drills, services, visitors
from support.chat.rate_limits import RateLimited
from support.chat.worker_thread import WorkerThread
from support.models import OPEN_STATES, Conversation, Site, Turn

logger = logging.getLogger(__name__)

QUESTION = "Hello! What can you help me with?"
# as an address, it shares no limit with a visitor's: each member of staff has one
_ADDRESS = "fire drill of"
# a worker that starts later in the day leaves the night's drills to the next night
_NIGHT = timedelta(hours=1)
# then nobody takes the question any more
_FORSAKEN = timedelta(minutes=5)


class DrillRefused(Exception):  # noqa: N818 - says what happened
    """No drill is begun; the message says why."""


def begin(backend: str, fault: Fault, asked_by: str = "") -> Drill:
    """Ask a question that `backend` fails at; return the drill that was begun.

    Raises DrillRefused if it is not in use, or has nobody to fall back to, and where
    somebody begins more in a minute than come from one address. The night's drills,
    which nobody asked for, are not limited.
    """
    if backend not in {row.name for row in list_drilled()}:
        raise DrillRefused(
            f"{backend} cannot be drilled: it has to be switched on, allowed, and have "
            "another backend to fall back to."
        )
    site = Site.objects.filter(is_active=True).order_by("pk").first()
    if site is None:
        raise DrillRefused("There is no active site to ask a question in.")
    with transaction.atomic():
        conversation = visitors.start_session(site).conversation
        Conversation.objects.filter(pk=conversation.pk).update(is_synthetic=True)
        drill = Drill.objects.create(
            backend=backend,
            fault=fault.value,
            conversation=conversation.pk,
            asked_by=asked_by,
        )
        question = (site.questions or [QUESTION])[0]
        client_id = secrets.token_hex(8)
        address = f"{_ADDRESS} {asked_by or conversation.pk}"
        try:
            services.post_message(conversation.pk, question, client_id, address)
        except RateLimited as error:
            raise DrillRefused(str(error)) from error
    return drill


def is_due(policy: RoutingPolicy, now: datetime) -> bool:
    """Return whether it is the time of the night's drills, and nobody began them."""
    if policy.drills_at is None:
        return False
    local = timezone.localtime(now)
    due = local.replace(
        hour=policy.drills_at.hour,
        minute=policy.drills_at.minute,
        second=policy.drills_at.second,
        microsecond=0,
    )
    return due <= local < due + _NIGHT and policy.drilled_on != local.date()


def run_nightly(now: datetime) -> list[Drill]:
    """Begin the night's drills if they are due and no other worker has begun them.

    Each backend has another fault each night, so that ten nights show all. One query,
    more if they are due.
    """
    policy = RoutingPolicy.load()
    if not is_due(policy, now):
        return []
    today = timezone.localtime(now).date()
    mine = RoutingPolicy.objects.filter(pk=1).exclude(drilled_on=today)
    if not mine.update(drilled_on=today):
        return []
    faults = list(Fault)
    begun = []
    for place, row in enumerate(list_drilled()):
        fault = faults[(today.toordinal() + place) % len(faults)]
        try:
            begun.append(begin(row.name, fault))
        except Exception:  # the others' nights are not to be lost with it
            logger.exception("backend=%s fault=%s drill not begun", row.name, fault)
    return begun


def close_forsaken(now: datetime) -> None:
    """End the drills that took too long. One query if there are none."""
    old = Drill.objects.filter(is_proven=None, at__lt=now - _FORSAKEN)
    for conversation in old.values_list("conversation", flat=True):
        if conversation is None:
            continue
        turns = Turn.objects.select_related("conversation")
        turn = turns.filter(conversation_id=conversation).first()
        if turn is not None and turn.state not in OPEN_STATES:
            drills.record(turn)
        else:
            drills.give_up(conversation, "No worker answered the question.")


class NightlyDrills(WorkerThread):
    """The thread of a worker that begins the drills of the night."""

    name = "nightly-drills"
    complaint = "the night's fire drills could not be begun"

    @property
    def interval_s(self) -> float:
        """Return how long to wait between looks."""
        return 30.0

    def do_round(self) -> None:
        """Begin what is due, end what was forsaken."""
        now = timezone.now()
        run_nightly(now)
        close_forsaken(now)
