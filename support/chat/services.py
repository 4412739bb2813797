"""What a visitor can do to a conversation: each function is one transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from support.chat import answering, dispatch, events, rate_limits, turns
from support.chat.cleaning import clean_text
from support.chat.tasks import doorbell, queue_turn
from support.models import (
    Conversation,
    ConversationStatus,
    Message,
    Notice,
    Role,
    Turn,
    TurnState,
)

HANDOFF_TEXT = (
    "I have marked this conversation for our team. Nobody is here right now, and I "
    "cannot promise when somebody will be. I go on answering your questions."
)


class ContentInvalid(Exception):  # noqa: N818 - says what happened
    """The text cannot be accepted; `code` is the protocol's error code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored question: what the acknowledgement says."""

    message: Message
    turn: Turn


def post_message(
    conversation_id: UUID, content: str, client_id: str, address: str
) -> Accepted:
    """Store a visitor's message with its turn and queue the answer after the commit.

    The same `client_id` with the same text is the same message and is stored once; it
    does not count again for the limit. Raises ContentInvalid (`empty`, `too_long`,
    `id_reuse`), RateLimited. Four queries, two for a message that is known.
    """
    content = clean_text(content)
    check_content(content)
    try:
        return _store(conversation_id, content, client_id, address)
    except IntegrityError:
        # the same frame on two sockets: the other was stored while this one waited
        known = _find_known(conversation_id, client_id, content)
        if known is None:
            raise
        return known


def check_content(content: str) -> None:
    """Raise ContentInvalid if the text is empty or too long."""
    if not content:
        raise ContentInvalid("Write something first.", code="empty")
    limit = settings.MESSAGE_CHARACTERS
    if len(content) > limit:
        raise ContentInvalid(
            f"A message can have {limit} characters; this one has {len(content)}.",
            code="too_long",
        )


def _find_known(conversation_id: UUID, client_id: str, content: str) -> Accepted | None:
    message = (
        Message.objects.filter(conversation_id=conversation_id, client_id=client_id)
        .select_related("asked_turn")
        .first()
    )
    if message is None:
        return None
    if message.content != content:
        raise ContentInvalid("This client_id was used before.", code="id_reuse")
    return Accepted(message, message.asked_turn)


@transaction.atomic
def _store(
    conversation_id: UUID, content: str, client_id: str, address: str
) -> Accepted:
    now = timezone.now()
    conversation = _lock(conversation_id, client_id)
    known = conversation.is_known and _find_known(conversation_id, client_id, content)
    if known:
        return known
    # within the transaction, so that only what is new is counted, in one look
    rate_limits.check_messages(str(conversation_id), address)
    message = turns.append_message(
        conversation, Role.USER, content, now, client_id=client_id
    )
    turn = Turn.objects.create(
        conversation=conversation, question=message, created_at=now, published_at=now
    )
    transaction.on_commit(lambda: _announce_question(message, turn))
    return Accepted(message, turn)


def _lock(conversation_id: UUID, client_id: str) -> Any:
    """Return a conversation whose row is locked.

    `is_known` says whether it has a message of this `client_id`. One query for both.
    """
    same = Message.objects.filter(conversation=OuterRef("pk"), client_id=client_id)
    return (
        Conversation.objects.select_for_update()
        .annotate(is_known=Exists(same))
        .get(pk=conversation_id)
    )


def _announce_question(message: Message, turn: Turn) -> None:
    doorbell.ring(turn.id, dispatch.choose_queue(turn.conversation))
    events.publish(turn.conversation_id, events.message_stored(message, turn))
    events.publish(turn.conversation_id, events.turn_changed(turn, message.seq))
    dispatch.look_around()  # for the next one


def stop_reply(conversation_id: UUID, turn_id: UUID, attempt: int) -> None:
    """Ask the worker of a turn to end its reply; a finished turn stays as it is.

    `attempt` is what the visitor saw; a reset in between does not void the wish. A
    turn that no worker has, or has any more, is ended here with what was shown.
    Raises ObjectDoesNotExist if the conversation has no such turn.
    """
    turn = turns.with_all_for_a_reply().get(pk=turn_id, conversation=conversation_id)
    is_queued = turn.state == TurnState.QUEUED and turn.attempt >= attempt
    if is_queued and turns.finish(turn, answering.build_stopped(turn)):
        _queue_next(conversation_id)
        return
    Turn.objects.filter(
        pk=turn_id, attempt__gte=attempt, state=TurnState.RUNNING
    ).update(is_stop_requested=True)


def _queue_next(conversation_id: UUID) -> None:
    next_turn_id = turns.next_queued(conversation_id)
    if next_turn_id is not None:
        queue_turn(next_turn_id)


def rate_reply(conversation_id: UUID, message_id: UUID, rating: int) -> None:
    """Store the visitor's thumb for a reply. Two queries.

    Raises ObjectDoesNotExist if the conversation has no such reply.
    """
    changed = Message.objects.filter(
        pk=message_id, conversation_id=conversation_id
    ).exclude(role=Role.USER)
    if not changed.update(rating=rating):
        raise ObjectDoesNotExist("no such reply")
    message = Message(pk=message_id, rating=rating)
    events.publish(conversation_id, events.reply_rated(message))


@transaction.atomic
def request_handoff(conversation_id: UUID) -> None:
    """Mark a conversation as waiting for a person, and say so in it, once."""
    now = timezone.now()
    conversation = Conversation.objects.select_for_update().get(pk=conversation_id)
    if conversation.status == ConversationStatus.WAITING:
        return
    conversation.status = ConversationStatus.WAITING
    conversation.waiting_since = now
    conversation.save(update_fields=["status", "waiting_since", "updated_at"])
    message = turns.append_message(
        conversation,
        Role.ASSISTANT,
        HANDOFF_TEXT,
        now,
        notice=Notice.HANDOFF_REQUESTED,
    )
    transaction.on_commit(lambda: _announce_handoff(message))


def _announce_handoff(message: Message) -> None:
    status = ConversationStatus.WAITING
    events.publish(message.conversation_id, events.status_changed(status))
    events.publish(message.conversation_id, events.message_stored(message))
