"""Tries backends in a worker, for the operator: a short test, and old questions again.

Both are asked for by a row, done by a Celery job, and read from the row by a page.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from inference import trying
from inference.backends.base import Backend
from inference.failures import explain, needs_operator
from inference.models import Backend as BackendRow
from inference.models import BackendTest
from inference.rules import check_may_leave
from inference.trying import Tried
from inference.types import ChatMessage, CompletionRequest
from support.chat import prompts
from support.knowledge.retrieval import RetrievedPassage, ScoredSentence
from support.knowledge.sentences import split_lines
from support.models import (
    OPEN_REPLAYS,
    Attempt,
    AttemptOutcome,
    Replay,
    ReplayedCall,
    ReplayState,
    Turn,
    TurnState,
)

logger = logging.getLogger(__name__)

MAX_QUESTIONS = 50
_TEST_TOKENS = 24
_TEST = (
    ChatMessage(
        "system", "You are a friendly assistant. Answer in one short sentence."
    ),
    ChatMessage("user", "Help articles: none\n\nQuestion: Hello! Are you there?"),
)
# of a job that says nothing for so long nobody is at work any more
SILENCE = timedelta(minutes=5)


class AlreadyRunning(Exception):  # noqa: N818 - says what happened
    """A replay on this backend has not ended yet."""


def run_test(test_id: int) -> None:
    """Call the backend of a test once, and write down what came.

    Of two workers one does it. Returns quietly if the test or its backend is gone.
    """
    waiting = BackendTest.objects.filter(pk=test_id, began_at=None, is_passed=None)
    if not waiting.update(began_at=timezone.now()):
        return
    test = BackendTest.objects.get(pk=test_id)
    row = BackendRow.objects.filter(name=test.backend).first()
    if row is None:
        test.is_passed, test.problem = False, "There is no such backend any more."
        test.save()
        return
    try:
        with trying.open_backend(row) as backend:
            request = CompletionRequest(_TEST, max_tokens=_TEST_TOKENS)
            _take_down(test, trying.ask(backend, row, request, _total_s()))
    except (ValueError, OSError, ImportError) as error:
        test.is_passed, test.problem = False, str(error)
    except Exception as error:  # the page waits for an end, whatever it is
        logger.exception("backend=%s test failed", row.name)
        test.is_passed, test.problem = False, f"{type(error).__name__}: see the log."
    test.save()


def _take_down(test: BackendTest, tried: Tried) -> None:
    report = tried.report
    test.is_passed = not report.error and bool(tried.text.strip())
    test.problem = explain(report.error, report.error_detail)
    if not test.is_passed and not test.problem:
        test.problem = "It answered nothing."
    test.text = tried.text
    test.model = report.model[:200]
    test.prompt_tokens = report.prompt_tokens
    test.completion_tokens = report.completion_tokens
    test.ttft_ms, test.duration_ms = report.ttft_ms, report.duration_ms
    test.cost_usd = report.cost_usd


def ask_for_replay(
    row: BackendRow, num_questions: int, limit_usd: Decimal, asked_by: str
) -> Replay:
    """Return a new replay that waits for a worker; raises AlreadyRunning.

    One whose worker died is given up first.
    """
    silent = _find_open(row).filter(at__lt=timezone.now() - SILENCE)
    silent.update(state=ReplayState.STOPPED, reason="Its worker is gone.")
    try:
        with transaction.atomic():
            return Replay.objects.create(
                backend=row.name,
                num_questions=min(num_questions, MAX_QUESTIONS),
                limit_usd=limit_usd,
                asked_by=asked_by,
            )
    except IntegrityError as error:
        raise AlreadyRunning(f"A replay on {row.name} has not ended yet.") from error


def stop_replay(row: BackendRow, why: str) -> None:
    """Stop the replay on a backend, if there is one."""
    _find_open(row).update(state=ReplayState.STOPPED, reason=why)


def _find_open(row: BackendRow) -> QuerySet[Replay]:
    return Replay.objects.filter(backend=row.name, state__in=OPEN_REPLAYS)


def run_replay(replay_id: int) -> None:
    """Ask the candidate of a replay the latest questions, one after the other.

    Of two workers one does it. It ends early when it was stopped, at its limit of cost,
    or when a cost is not known and there is more than one question to go.
    """
    waiting = Replay.objects.filter(pk=replay_id, state=ReplayState.WAITING)
    if not waiting.update(state=ReplayState.RUNNING, at=timezone.now()):
        return
    replay = Replay.objects.get(pk=replay_id)
    row = BackendRow.objects.filter(name=replay.backend).first()
    reason = "There is no such backend any more."
    try:
        if row is not None:
            found, reason = find_questions(row, replay.num_questions)
            with trying.open_backend(row) as backend:
                reason = _ask_all(replay, backend, row, found) or reason
    except (ValueError, OSError, ImportError) as error:
        reason = str(error)
    except Exception as error:  # the page waits for an end, whatever it is
        logger.exception("backend=%s replay failed", replay.backend)
        reason = f"{type(error).__name__}: see the log."
    Replay.objects.filter(pk=replay.pk, state=ReplayState.RUNNING).update(
        state=ReplayState.DONE, reason=reason[:300], at=timezone.now()
    )


def find_questions(row: BackendRow, limit: int) -> tuple[list[Turn], str]:
    """Return the latest answered turns that a backend may see, and who was left out.

    Private ones never leave the house, and fire drills are no questions. Two queries.
    """
    asked = Turn.objects.filter(
        state=TurnState.ANSWERED, conversation__is_synthetic=False
    )
    seen = (
        asked.order_by("-created_at")
        .select_related("question", "reply", "conversation", "prompt")
        .prefetch_related("used_passages")[:limit]
    )
    found = [turn for turn in seen if _may_see(row, turn)]
    num_private = len(seen) - len(found)
    reason = f"{num_private} in private conversations left out." if num_private else ""
    return found, reason


def _may_see(row: BackendRow, turn: Turn) -> bool:
    return not (row.leaves_house and turn.conversation.is_private)


def _ask_all(
    replay: Replay, backend: Backend, row: BackendRow, asked: Sequence[Turn]
) -> str:
    """Ask and write down; return why it ended early, empty if it did not."""
    spent_usd = highest_usd = Decimal(0)
    for turn in asked:
        replay.refresh_from_db(fields=["state"])
        if replay.state != ReplayState.RUNNING:
            return ""
        if spent_usd + highest_usd > replay.limit_usd:
            return f"The limit of ${replay.limit_usd.normalize():f} is reached."
        turn.conversation.refresh_from_db(fields=["is_private"])
        check_may_leave(row, turn.conversation.is_private)
        tried = trying.ask(backend, row, rebuild_request(turn), _total_s())
        _book(replay, turn, tried)
        if needs_operator(tried.report.error):
            return explain(tried.report.error)
        cost_usd = tried.report.cost_usd
        if cost_usd is None and row.leaves_house and not tried.report.error:
            return (
                "Its price is not known, so its cost cannot be limited: one is asked."
            )
        spent_usd += cost_usd or 0
        highest_usd = max(highest_usd, cost_usd or Decimal(0))
    return ""


def rebuild_request(turn: Turn) -> CompletionRequest:
    """Return the request that a stored reply was made from: prompt, history, passages.

    Three queries, one for a conversation's first question.
    """
    passages = [
        RetrievedPassage(
            passage_id=used.pk,
            article_id=used.article_id or 0,
            title=used.title,
            heading=used.heading,
            text=used.text,
            url=used.url,
            score=used.score,
            sentences=tuple(
                ScoredSentence(text, used.score) for text in split_lines(used.text)
            ),
        )
        for used in turn.used_passages.all()
    ]
    return prompts.build_request(
        prompt=turn.prompt.content if turn.prompt else "",
        history=prompts.read_history(turn),
        passages=passages,
        question=turn.question.content,
        max_tokens=settings.REPLY_MAX_TOKENS,
    )


def _book(replay: Replay, turn: Turn, tried: Tried) -> None:
    report = tried.report
    ReplayedCall.objects.create(
        replay=replay,
        turn=turn,
        text=tried.text,
        error=report.error,
        error_detail=report.error_detail[:500],
        prompt_tokens=report.prompt_tokens,
        completion_tokens=report.completion_tokens,
        cost_usd=report.cost_usd,
        ttft_ms=report.ttft_ms,
        duration_ms=report.duration_ms,
    )
    Replay.objects.filter(pk=replay.pk).update(at=timezone.now())


def find_old_calls(calls: Sequence[ReplayedCall]) -> dict[object, Attempt]:
    """Return the calls that wrote the old replies, by turn. One query."""
    wrote = Attempt.objects.filter(
        turn__in=[call.turn_id for call in calls], outcome=AttemptOutcome.COMPLETED
    )
    return {attempt.turn_id: attempt for attempt in wrote.order_by("number")}


def _total_s() -> float:
    return float(settings.TURN_DEADLINE_S)
