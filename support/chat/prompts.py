"""Builds what a model is asked: system prompt, history, passages, question.

The form is what the bundled model was trained on; inference/bundled/README.md
describes it. Passages stand with the question and not in the system prompt, so that
a conversation's beginning stays the same from turn to turn and is computed once.
"""

from collections.abc import Sequence

from inference.types import ChatMessage, CompletionRequest, Quotable
from support.knowledge.retrieval import RetrievedPassage
from support.models import Notice, Turn, TurnState

# In characters: a token of the smallest vocabulary is about three of them.
HISTORY_CHARACTERS = 1200
_MAX_HISTORY_MESSAGES = 4


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
    for message in reversed(history[-_MAX_HISTORY_MESSAGES:]):
        room -= len(message.content)
        if room < 0:
            break
        kept.insert(0, message)
    while kept and kept[0].role != "user":
        kept.pop(0)
    return kept


def read_history(turn: Turn) -> list[ChatMessage]:
    """Return the questions before this one with their replies, oldest first.

    One query. Apologies are left out, with the questions that got them: a model
    would learn from them to apologise. A question without a reliable answer stays:
    the next one may be about the same.
    """
    answered = (
        Turn.objects.filter(
            conversation_id=turn.conversation_id,
            question__seq__lt=turn.question.seq,
            state__in=[TurnState.ANSWERED, TurnState.STOPPED],
            reply__notice__in=["", Notice.REPLY_UNSURE],
        )
        .select_related("question", "reply")
        .order_by("-question__seq")[: _MAX_HISTORY_MESSAGES // 2]
    )
    history: list[ChatMessage] = []
    for earlier in reversed(answered):
        reply = earlier.reply.content.strip() if earlier.reply else ""
        if reply:
            history.append(ChatMessage("user", earlier.question.content))
            history.append(ChatMessage("assistant", reply))
    return history
