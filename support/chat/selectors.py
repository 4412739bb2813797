"""What a widget has to be shown: named reads, each with its number of queries."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from support.chat import events
from support.chat.events import Frame
from support.chat.reply_buffer import BufferedText, read_reply
from support.models import OPEN_STATES, Conversation, Message, Turn, UsedPassage

REPLAY_MESSAGES = 100
HISTORY_MESSAGES = 50


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that is not finished, with its reply's text so far."""

    turn: Turn
    reply: BufferedText


@dataclass(frozen=True, slots=True)
class Progress:
    """A conversation from some message on: what a client does not have yet.

    `frames` has one for each message: `done` for a turn's reply, else `message`.
    """

    status: str
    last_seq: int
    frames: list[Frame]
    has_more: bool
    open_turns: list[OpenTurn]


def read_progress(conversation_id: UUID, after_seq: int) -> Progress:
    """Return what came after a message, at most the latest 100. Four queries.

    The open turns are read before the messages: a turn that ends in between is then
    seen twice, never not at all.
    """
    open_turns = [
        OpenTurn(turn, read_reply(turn))
        for turn in Turn.objects.filter(
            conversation_id=conversation_id, state__in=OPEN_STATES
        )
        .select_related("question")
        .order_by("question__seq")
    ]
    conversation = Conversation.objects.get(pk=conversation_id)
    newest = list(
        _with_turns(Message.objects.filter(conversation_id=conversation_id))
        .filter(seq__gt=after_seq, seq__lte=conversation.last_seq)
        .order_by("-seq")[: REPLAY_MESSAGES + 1]
    )
    has_more = len(newest) > REPLAY_MESSAGES
    messages = newest[:REPLAY_MESSAGES][::-1]
    ended = {turn.id for turn in map(turn_of, messages) if turn and turn.reply_id}
    open_turns = [item for item in open_turns if item.turn.id not in ended]
    return Progress(
        status=conversation.status,
        last_seq=conversation.last_seq,
        frames=[_message_frame(message) for message in messages],
        has_more=has_more,
        open_turns=open_turns,
    )


def read_last_seq(conversation_id: UUID) -> int:
    """Return the number of a conversation's latest message. One query."""
    return Conversation.objects.values_list("last_seq", flat=True).get(
        pk=conversation_id
    )


def read_history(conversation_id: UUID, before_seq: int) -> tuple[list[Message], bool]:
    """Return up to 50 messages before one, oldest first, and whether there are more.

    Two queries.
    """
    newest = list(
        _with_turns(
            Message.objects.filter(conversation_id=conversation_id, seq__lt=before_seq)
        ).order_by("-seq")[: HISTORY_MESSAGES + 1]
    )
    return newest[:HISTORY_MESSAGES][::-1], len(newest) > HISTORY_MESSAGES


def history_frame(conversation_id: UUID, before_seq: int) -> Frame:
    """Return the frame that answers a `history` frame. Two queries."""
    messages, has_more = read_history(conversation_id, before_seq)
    described = [
        events.describe_message(message, turn_of(message)) for message in messages
    ]
    return {"type": "history", "messages": described, "has_more": has_more}


def turn_of(message: Message) -> Turn | None:
    """Return the turn that a message asks or answers. No query after `_with_turns`."""
    for relation in ("asked_turn", "replied_turn"):
        turn: Turn | None = getattr(message, relation, None)
        if turn is not None:
            return turn
    return None


def _message_frame(message: Message) -> Frame:
    turn = turn_of(message)
    if turn is not None and turn.reply_id == message.pk:
        return events.turn_finished(turn, message)
    return events.message_stored(message, turn)


def _with_turns(messages: QuerySet[Message]) -> QuerySet[Message]:
    cited = Prefetch("replied_turn__used_passages", UsedPassage.objects.all())
    return messages.select_related("asked_turn", "replied_turn").prefetch_related(cited)
