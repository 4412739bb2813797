"""The states of a turn, each change a compare-and-swap that the database decides.

    queued -> running -> answered | stopped | failed
    running -> queued     a worker gave up, or its lease ran out

A claim makes the turn's attempt number one larger, and every later write of the
worker names that number: zero changed rows mean that somebody else has the turn.
"""

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, FilteredRelation, Q, QuerySet
from django.utils import timezone

from inference.models import Queue
from support.chat import events
from support.chat.reply_buffer import reply_buffer
from support.models import (
    OPEN_STATES,
    Attempt,
    AttemptOutcome,
    Conversation,
    Message,
    Notice,
    Role,
    Turn,
    TurnState,
    UsedPassage,
)

MAX_CLAIMS = 3
# claims after which a turn's last try comes: it runs while no other's does
LAST_TRY = MAX_CLAIMS - 1


@dataclass(frozen=True, slots=True)
class Reply:
    """What becomes of a turn: its final state and the message that says so.

    `used` are unsaved rows of the passages that were in the prompt. `backend` is where
    the conversation stays from now on, empty where it was.
    """

    state: TurnState
    content: str
    notice: Notice | None = None
    failure: str = ""
    used: Sequence[UsedPassage] = ()
    backend: str = ""


def worker_name() -> str:
    """Return who holds a lease: host, process and thread."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"


def claim(turn_id: UUID) -> Turn | None:
    """Take a turn that nobody works on; return it, or None if it is not to be had.

    Refuses while an earlier question of the conversation is open, so that answers
    come in the order of the questions. Marks calls of earlier workers as lost. Two
    queries, three for a turn that had another worker.

    A turn that lost two workers may be what they died of, or only have been beside it.
    To tell, last tries run one at a time.
    """
    now = timezone.now()
    try:
        turn = with_all_for_a_reply().get(pk=turn_id)
    except Turn.DoesNotExist:
        return None
    if turn.num_claims >= MAX_CLAIMS:
        return None
    is_free = Q(state=TurnState.QUEUED) | Q(
        state=TurnState.RUNNING, lease_until__lt=now
    )
    changes = {
        "state": TurnState.RUNNING,
        "attempt": turn.attempt + 1,
        "num_claims": turn.num_claims + 1,
        "lease_owner": worker_name(),
        "lease_until": now + timedelta(seconds=settings.TURN_LEASE_S),
        "started_at": turn.started_at or now,
    }
    unchanged = {
        name: getattr(turn, name) for name in ("attempt", "num_claims", "queue")
    }
    free = Turn.objects.filter(is_free, pk=turn_id, **unchanged)
    if turn.question.seq > 1:
        free = free.exclude(Exists(_earlier_open(turn)))
    if turn.num_claims >= LAST_TRY:
        free = free.exclude(Exists(_running_last_tries(now)))
    claimed = free.update(**changes)
    if not claimed:
        return None
    for name, value in changes.items():
        setattr(turn, name, value)
    if turn.attempt > 1:
        close_lost_calls(turn_id)
        reply_buffer.start(turn.id, turn.attempt)
    return turn


@cache
def with_all_for_a_reply() -> QuerySet[Turn]:
    """Return turns that are read in one query with what their replies are made from.

    Built once, as that takes as long as the query; not to be read but to be chosen of.

    That is question and conversation, and of the site's active system prompt the
    `active_prompt_id` and `active_prompt`, its text; both None if there is none.
    """
    prompts = "conversation__site__prompts"
    return Turn.objects.select_related("question", "conversation").annotate(
        active=FilteredRelation(prompts, condition=Q((f"{prompts}__is_active", True))),
        active_prompt_id=F("active__pk"),
        active_prompt=F("active__content"),
    )


def _running_last_tries(now: datetime) -> QuerySet[Turn]:
    return Turn.objects.filter(
        state=TurnState.RUNNING, num_claims__gt=LAST_TRY, lease_until__gt=now
    )


def is_last_try_under_way(rung_within: timedelta) -> bool:
    """Return whether some turn's last try runs, or was just rung for. One query."""
    now = timezone.now()
    is_rung_for = Q(
        state__in=OPEN_STATES, num_claims=LAST_TRY, published_at__gt=now - rung_within
    )
    running = _running_last_tries(now)
    return (running | Turn.objects.filter(is_rung_for)).exists()


def close_lost_calls(turn_id: UUID) -> None:
    """Close the ledger rows of a worker that will not come back."""
    Attempt.objects.filter(turn_id=turn_id, outcome=AttemptOutcome.RUNNING).update(
        outcome=AttemptOutcome.LOST, finished_at=timezone.now()
    )


def extend_leases(held: dict[UUID, int]) -> None:
    """Extend the leases of the turns held, each by its attempt. One query each."""
    until = timezone.now() + timedelta(seconds=settings.TURN_LEASE_S)
    for turn_id, attempt in held.items():
        Turn.objects.filter(
            pk=turn_id, attempt=attempt, state=TurnState.RUNNING
        ).update(lease_until=until)


def find_stopped(held: dict[UUID, int]) -> set[UUID]:
    """Return the turns held that the visitor stopped. One query."""
    return set(
        Turn.objects.filter(pk__in=held, is_stop_requested=True).values_list(
            "pk", flat=True
        )
    )


def find_lost(held: dict[UUID, int]) -> set[UUID]:
    """Return the turns held that are over, or of another attempt. One query."""
    ours = Turn.objects.filter(pk__in=held, state=TurnState.RUNNING)
    attempts = dict(ours.values_list("pk", "attempt"))
    return {key for key, attempt in held.items() if attempts.get(key) != attempt}


def begin_again(turn: Turn) -> bool:
    """Give the reply's text a new attempt number; return whether the turn was ours."""
    changed = Turn.objects.filter(
        pk=turn.pk, attempt=turn.attempt, state__in=OPEN_STATES
    ).update(attempt=F("attempt") + 1)
    if not changed:
        return False
    turn.attempt += 1
    reply_buffer.start(turn.id, turn.attempt)
    return True


def save_checkpoint(turn: Turn, text: str) -> bool:
    """Keep the reply's text so far; return whether the turn was ours."""
    changed = Turn.objects.filter(
        pk=turn.pk, attempt=turn.attempt, state=TurnState.RUNNING
    ).update(checkpoint=text, checkpoint_attempt=turn.attempt)
    return bool(changed)


def release(turn: Turn) -> None:
    """Put a turn back into the queue because its worker cannot go on."""
    Turn.objects.filter(
        pk=turn.pk, attempt=turn.attempt, state=TurnState.RUNNING
    ).update(
        state=TurnState.QUEUED,
        lease_until=None,
        published_at=timezone.now(),
        trace=turn.trace,
    )


def hand_over(turn: Turn, queue: Queue | None = None) -> None:
    """Put a turn back into the queue for another worker, which no failure is.

    With `queue` its workers go on, first of all with their own backends.
    """
    Turn.objects.filter(
        pk=turn.pk, attempt=turn.attempt, state=TurnState.RUNNING
    ).update(
        state=TurnState.QUEUED,
        lease_until=None,
        published_at=timezone.now(),
        num_claims=F("num_claims") - 1,
        queue=queue or turn.queue,
        spilled_from=turn.spilled_from,
        trace=turn.trace,
    )


def call_back(turn: Turn) -> bool:
    """Let any worker take a turn whose queue has none; return whether it was waiting.

    One query.
    """
    waiting = Turn.objects.filter(
        pk=turn.pk, attempt=turn.attempt, state=TurnState.QUEUED, queue=turn.queue
    )
    return bool(waiting.update(queue=""))


def finish(turn: Turn, reply: Reply) -> bool:
    """Store the reply and end the turn; return whether the turn was ours to end.

    One transaction: the message with its `seq`, the turn's state. The event goes
    out after the commit. A turn that somebody else took or ended stays as it is.
    """
    now = timezone.now()
    with transaction.atomic():
        # the conversation's row first, as `accept` does: no deadlock, no gap in seq
        conversation = Conversation.objects.select_for_update().get(
            pk=turn.conversation_id
        )
        conversation.backend = reply.backend or conversation.backend
        message = append_message(
            conversation, Role.ASSISTANT, reply.content, now, notice=reply.notice
        )
        is_ours = Turn.objects.filter(
            pk=turn.pk, attempt=turn.attempt, state__in=OPEN_STATES
        ).update(
            state=reply.state,
            reply=message,
            prompt_id=turn.prompt_id,
            finished_at=now,
            lease_until=None,
            failure=reply.failure[:200],
            checkpoint="",
            spilled_from=turn.spilled_from,
            trace=turn.trace,
        )
        if not is_ours:
            transaction.set_rollback(True)
            return False
        UsedPassage.objects.bulk_create(reply.used)
        turn.state, turn.reply, turn.finished_at = reply.state, message, now
        transaction.on_commit(lambda: _announce_end(turn, message))
    return True


def append_message(
    conversation: Conversation,
    role: Role,
    content: str,
    created_at: datetime,
    client_id: str | None = None,
    notice: Notice | None = None,
) -> Message:
    """Store a message under the next `seq`; saves the pinned backend too. Two queries.

    The caller holds the conversation's row lock in a transaction.
    """
    conversation.last_seq += 1
    conversation.save(update_fields=["last_seq", "backend", "updated_at"])
    return Message.objects.create(
        conversation=conversation,
        seq=conversation.last_seq,
        role=role,
        content=content,
        client_id=client_id,
        notice=notice or "",
        created_at=created_at,
    )


def next_queued(conversation_id: UUID) -> UUID | None:
    """Return the conversation's earliest queued turn, or None. One query."""
    return (
        Turn.objects.filter(conversation_id=conversation_id, state=TurnState.QUEUED)
        .order_by("question__seq")
        .values_list("pk", flat=True)
        .first()
    )


def _earlier_open(turn: Turn) -> QuerySet[Turn]:
    return Turn.objects.filter(
        conversation_id=turn.conversation_id,
        state__in=OPEN_STATES,
        question__seq__lt=turn.question.seq,
    )


def _announce_end(turn: Turn, message: Message) -> None:
    reply_buffer.discard(turn.id)
    events.publish(turn.conversation_id, events.turn_finished(turn, message))
