"""Produces the reply of a turn: claim, prompt, stream, store."""

import logging
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from inference import drills as rehearsals
from inference import routes
from inference.errors import GoesElsewhere, NoBackendLeft
from inference.models import Queue, Rung
from inference.routing.plan import Errand
from inference.rules import OperatorRules, read_rules
from inference.types import (
    AttemptStarted,
    CancelToken,
    CompletionRequest,
    Delta,
    FinishReason,
    Reset,
    Routed,
    RoutedItem,
)
from support.chat import dispatch, drills, events, prompts, turns
from support.chat.ladder import step_down
from support.chat.ledger import Ledger, turn_spilled
from support.chat.patience import outlast
from support.chat.reply_buffer import read_reply
from support.chat.reply_writer import ReplyWriter, TurnLost
from support.chat.threads import give_back_connection
from support.chat.watch import watch
from support.knowledge import citations, claims, retrieval
from support.knowledge.retrieval import RetrievedPassage
from support.models import Notice, Turn, TurnState, UsedPassage

logger = logging.getLogger(__name__)

UNSURE = (
    "I could not find a reliable answer to that in our help articles. The button "
    '"Talk to a person" below marks your question for our team.'
)


@dataclass(frozen=True, slots=True)
class Question:
    """All that a reply is made from."""

    request: CompletionRequest
    passages: Sequence[RetrievedPassage]


def produce(turn_id: UUID) -> UUID | None:
    """Answer a turn, unless somebody else does; return the next turn to answer.

    An unexpected error puts the turn back into the queue and is raised; the reaper
    tries again, and after three claims the turn fails in the open.
    """
    turn = turns.claim(turn_id)
    if turn is None:
        return None
    events.publish(turn.conversation_id, events.turn_changed(turn, turn.question.seq))
    try:
        with watch.looking_after(turn) as cancel, ReplyWriter(turn) as writer:
            _answer(turn, writer, cancel)
    except TurnLost:
        logger.info("turn=%s attempt=%d lost", turn.id, turn.attempt)
        return None
    except Exception:
        with suppress(DatabaseError):  # its lease runs out, then
            turns.release(turn)
        raise
    drills.record(turn)
    return turns.next_queued(turn.conversation_id)


def _answer(turn: Turn, writer: ReplyWriter, cancel: CancelToken) -> None:
    question, ledger, rules = build_question(turn), Ledger(turn), read_rules()
    if rules.rung is not Rung.MODEL:
        why = f"no model is asked: {rules.rung.label}"
        _step_down(turn, why, question.passages, rules.rung)
        return
    errand = _build_errand(turn, question.request, cancel, ledger)
    try:
        routed = _stream(turn, errand, rules, ledger, writer)
    except GoesElsewhere as error:
        turn.spilled_from = error.spilled_from
        logger.info("turn=%s: %s", turn.id, error)
        turns.hand_over(turn, Queue(error.queue))
        return
    except NoBackendLeft as error:
        if writer.text:
            writer.reset()
        _go_down(turn, question, ledger, error)
        return
    if routed.completion.finish_reason is not FinishReason.CANCELLED:
        turn.spilled_from = turn.spilled_from or routed.spilled_from
        is_home = not (turn.spilled_from or routed.stands_in_for)
        home = routed.attempts[-1].backend if is_home else ""
        _finish_answered(turn, question, writer, home)
    elif watch.is_leaving:
        # the buffer ends with the process, and a stop keeps what was shown
        turns.save_checkpoint(turn, writer.text)
        turns.hand_over(turn)
    else:
        # by the visitor, or by losing the lease
        _end(turn, _stopped_reply(turn, writer.text, question.passages))


def _go_down(
    turn: Turn, question: Question, ledger: Ledger, error: NoBackendLeft
) -> None:
    """Leave a turn to backends that others have and nobody asked, else step down."""
    asked = ledger.earlier.asked | {report.backend for report in error.attempts}
    queue = routes.find_queue_left(dispatch.build_asker(turn.conversation), asked)
    if queue is None:
        _step_down(turn, str(error), question.passages)
        return
    logger.info("turn=%s goes to the workers of %s: %s", turn.id, queue, error)
    turn.trace.append(f"Left it to the workers of the queue {queue.value}.")
    turns.hand_over(turn, queue)


def _build_errand(
    turn: Turn, request: CompletionRequest, cancel: CancelToken, ledger: Ledger
) -> Errand:
    """Return the request with all that routing has to know of its turn.

    A worker that was lost took its decisions with it: its calls are what is left.
    """
    for name in ledger.lost:
        sentence = f"A worker was lost while {name} answered."
        if sentence not in turn.trace:
            turn.trace.append(sentence)
    return Errand(
        request,
        cancel,
        on_attempt=lambda report: outlast(lambda: ledger.close(report)),
        asker=dispatch.build_asker(turn.conversation),
        earlier=ledger.earlier,
        can_hand_over=dispatch.is_live,
    )


def _step_down(
    turn: Turn,
    why: str,
    passages: Sequence[RetrievedPassage],
    rung: Rung = Rung.MODEL,
) -> None:
    """End a turn that no model answers with the best of what is left."""
    said = step_down(rung, passages)
    logger.warning("turn=%s failed, %s: %s", turn.id, said.notice.value, why)
    used = build_used_passages(turn, "", passages)
    for row, passage in zip(used, passages, strict=True):
        row.is_cited = passage is said.quoted
    _end(turn, turns.Reply(TurnState.FAILED, said.content, said.notice, why, used))


def _end(turn: Turn, reply: turns.Reply) -> None:
    """Store what becomes of a turn, as soon as there is a database."""
    outlast(lambda: turns.finish(turn, reply))


def build_question(turn: Turn) -> Question:
    """Return the request for a turn's reply; remembers the prompt's version.

    The turn is one of `turns.with_all_for_a_reply`. One query for the history, none
    for the first question, and those of the retrieval.
    """
    read: Any = turn  # with annotations, which the class does not have
    turn.prompt_id = read.active_prompt_id
    history = prompts.read_history(turn)
    content = turn.question.content
    earlier = [message.content for message in history if message.role == "user"]
    passages = retrieval.retrieve(content, earlier)
    request = prompts.build_request(
        prompt=read.active_prompt or "",
        history=history,
        passages=passages,
        question=content,
        max_tokens=settings.REPLY_MAX_TOKENS,
        request_id=str(turn.id),
    )
    return Question(request, passages)


def _stream(
    turn: Turn,
    errand: Errand,
    rules: OperatorRules,
    ledger: Ledger,
    writer: ReplyWriter,
) -> Routed:
    """Write the router's text as it comes; the turn gets the trace, however it ends.

    Raises NoBackendLeft, GoesElsewhere, TurnLost.
    """
    route, rehearsal = routes.route, drills.find_rehearsal(turn)
    if rehearsal is not None:
        route = partial(rehearsals.route, rehearsal)
    # what earlier workers' calls took is gone, but for a last chance
    deadline_s = settings.TURN_DEADLINE_S
    total_s = max(deadline_s - ledger.spent_s, deadline_s / 4)
    stream = route(errand, rules, total_s, turn.queue)
    try:
        return _write(stream, ledger, writer)
    finally:
        turn.trace = [*turn.trace, *errand.trace.sentences]


def _write(
    stream: Generator[RoutedItem, None, None], ledger: Ledger, writer: ReplyWriter
) -> Routed:
    with closing(stream):
        for item in stream:
            if isinstance(item, AttemptStarted):
                ledger.open(item)
                give_back_connection()
            elif isinstance(item, Delta):
                writer.write(item.text)
            elif isinstance(item, Reset):
                writer.reset()
                give_back_connection()
            else:
                writer.flush()
                return item
    raise RuntimeError("the router ended without a result")


def build_stopped(turn: Turn) -> turns.Reply:
    """Return the end of a queued turn: what an earlier worker wrote of its reply.

    The passages are those that the next worker would have used. No query without a
    text, else those of `build_question`.
    """
    text = read_reply(turn).text
    passages = build_question(turn).passages if text else ()
    return _stopped_reply(turn, text, passages)


def _stopped_reply(
    turn: Turn, text: str, passages: Sequence[RetrievedPassage]
) -> turns.Reply:
    """Return the reply with the passages that support what was shown of it."""
    notice = None if text.strip() else Notice.REPLY_STOPPED
    used = build_used_passages(turn, text, passages)
    return turns.Reply(TurnState.STOPPED, text, notice, used=used)


def _finish_answered(
    turn: Turn, question: Question, writer: ReplyWriter, home: str
) -> None:
    """Store the reply with the passages used; cite what the text can be found in.

    A reply that is invented is taken back in the open and replaced by an honest one.
    `home` is the backend that the conversation stays with, empty if it only helped out.
    """
    content, notice = writer.text, None
    if not content.strip() or is_invented(content, question):
        logger.warning("turn=%s attempt=%d invented", turn.id, turn.attempt)
        writer.reset()
        content, notice = UNSURE, Notice.REPLY_UNSURE
        turn.trace.append("The reply was taken back: it said what nothing supports.")
    used = build_used_passages(turn, "" if notice else content, question.passages)
    reply = turns.Reply(TurnState.ANSWERED, content, notice, used=used, backend=home)
    _end(turn, reply)
    if turn.spilled_from:
        turn_spilled.send_robust(sender=Ledger, backend=turn.spilled_from)


def is_invented(content: str, question: Question) -> bool:
    """Return whether a reply says what the model cannot know.

    That is a number, address or link that stands in nothing it was given. Without a
    passage it is also every statement with a word of its own, as `claims` describes.
    """
    given = [message.content for message in question.request.messages]
    if citations.find_invented(content, given):
        return True
    return not question.passages and bool(claims.find_claims(content, given))


def build_used_passages(
    turn: Turn, content: str, passages: Sequence[RetrievedPassage]
) -> list[UsedPassage]:
    """Return unsaved rows of the passages; cited are those that support the text."""
    cited = {
        citation.passage.passage_id
        for citation in citations.verify_citations(content, passages)
    }
    return [
        UsedPassage(
            turn=turn,
            rank=rank,
            article_id=passage.article_id,
            title=passage.title,
            heading=passage.heading,
            text=passage.text,
            url=passage.url,
            score=passage.score,
            is_cited=passage.passage_id in cited,
        )
        for rank, passage in enumerate(passages, start=1)
    ]
