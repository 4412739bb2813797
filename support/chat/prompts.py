"""Builds what a model is asked: system prompt, history, passages, question.

The form is what the bundled model was trained on; inference/bundled/README.md
describes it. Passages stand with the question and not in the system prompt, so that
a conversation's beginning stays the same from turn to turn and is computed once.
Earlier questions stand without theirs: with them a prompt grows by all passages each
turn, and a small model answers from the wrong ones (docs/measurements.md).
"""

from collections.abc import Sequence

from django.db.models import Count, Window

from inference.types import ChatMessage, CompletionRequest, Quotable
from support.knowledge.retrieval import RetrievedPassage
from support.models import Notice, Turn, TurnState

# In characters: a token of the smallest vocabulary is about three of them.
HISTORY_CHARACTERS = 1200
# Of earlier turns the last two are kept, and the one before every other time.
_MIN_HISTORY_TURNS = 2


def build_request(
    prompt: str,
    history: Sequence[ChatMessage],
    passages: Sequence[RetrievedPassage],
    question: str,
    max_tokens: int,
    request_id: str = "",
) -> CompletionRequest:
    """Return the request for one reply; how it is sampled is up to the backend.

    `request_id` is what logs call it.
    """
    messages = (
        ChatMessage("system", prompt),
        *cut_history(history),
        ChatMessage("user", render_question(passages, question)),
    )
    quotable = tuple(
        Quotable(sentence.text, sentence.score)
        for passage in passages
        for sentence in passage.sentences
    )
    return CompletionRequest(
        messages, max_tokens=max_tokens, quotable=quotable, request_id=request_id
    )


def build_openings(prompt: str) -> list[tuple[ChatMessage, ...]]:
    """Return how first questions begin, with passages and without.

    Two, so that an engine finds what they have in common even where it can only
    continue what it kept.
    """
    return [
        (ChatMessage("system", prompt), ChatMessage("user", beginning))
        for beginning in (render_question([], ""), "Help articles:\n\n[1]")
    ]


def render_question(passages: Sequence[RetrievedPassage], question: str) -> str:
    """Return the last message: the numbered passages, then the question."""
    if not passages:
        return f"Help articles: none\n\nQuestion: {question}"
    blocks = [
        f"[{number}] {passage.title}\n{passage.text}"
        for number, passage in enumerate(passages, start=1)
    ]
    return "\n\n".join(["Help articles:", *blocks, f"Question: {question}"])


def cut_history(history: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the latest messages that fit the budget, beginning with a question."""
    kept: list[ChatMessage] = []
    room = HISTORY_CHARACTERS
    num_kept = 2 * count_kept_turns(len(history) // 2)
    for message in reversed(history[-num_kept:] if num_kept else ()):
        room -= len(message.content)
        if room < 0:
            break
        kept.insert(0, message)
    while kept and kept[0].role != "user":
        kept.pop(0)
    return kept


def count_kept_turns(num_turns: int) -> int:
    """Return how many of so many earlier turns are told: two, or three if it is odd.

    What is dropped is dropped two turns at a time, so that every other prompt begins
    like the one before it and finds its history in the engine's cache. Applied to what
    was kept it keeps all of it.
    """
    if num_turns <= _MIN_HISTORY_TURNS:
        return num_turns
    return _MIN_HISTORY_TURNS + num_turns % 2


def read_history(turn: Turn) -> list[ChatMessage]:
    """Return the questions before this one with their replies, oldest first.

    One query, none for the first question. Apologies are left out, with the
    questions that got them: a model would learn from them to apologise. A question
    without a reliable answer stays: the next one may be about the same.
    """
    if turn.question.seq == 1:
        return []
    answered = Turn.objects.filter(
        conversation_id=turn.conversation_id,
        question__seq__lt=turn.question.seq,
        state__in=[TurnState.ANSWERED, TurnState.STOPPED],
        reply__notice__in=["", Notice.REPLY_UNSURE],
    ).order_by("-question__seq")
    texts = answered.values_list(
        "question__content", "reply__content", Window(Count("*"))
    )
    # of the latest, which their number says how many to tell of
    latest = texts[: _MIN_HISTORY_TURNS + 1]
    history: list[ChatMessage] = []
    for place, (question, reply, num_turns) in reversed(list(enumerate(latest))):
        if place < count_kept_turns(num_turns) and reply.strip():
            history.append(ChatMessage("user", question))
            history.append(ChatMessage("assistant", reply.strip()))
    return history
