"""Finds turns that nobody works on, and rings for them again.

A thread in every worker. Several may look at once: each rescue is a compare-and-swap,
and a job that is published twice is claimed once.
"""

import logging
import os
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import OperationalError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from inference.models import Queue
from support.chat import dispatch, events, turns
from support.chat.ladder import APOLOGY
from support.chat.tasks import queue_turn
from support.chat.worker_thread import WorkerThread
from support.models import OPEN_STATES, Notice, Turn, TurnState

logger = logging.getLogger(__name__)

_UNHEARD_S = 3.0
_BATCH = 100


def reap(*, was_away: bool = False) -> list[UUID]:
    """Rescue the turns that need it and return them.

    Queued ones whose job is older than 3 s are published again, unless they wait for
    an earlier question; running ones whose lease ran out likewise, or fail in the
    open after `turns.MAX_CLAIMS` claims. Of those with one try left, one at a time.
    With `was_away` the database has just come back, and workers that live get a round
    to extend their leases first.
    """
    now = timezone.now()
    unheard = Q(
        state=TurnState.QUEUED, published_at__lt=now - timedelta(seconds=_UNHEARD_S)
    )
    abandoned = Q(state=TurnState.RUNNING, lease_until__lt=now)
    earlier = Turn.objects.filter(
        conversation=OuterRef("conversation"),
        state__in=OPEN_STATES,
        question__seq__lt=OuterRef("question__seq"),
    )
    wanted = unheard if was_away else unheard | abandoned
    found = Turn.objects.filter(wanted).exclude(Exists(earlier))
    found = found.order_by("published_at", "pk")
    due = list(filter(_is_due, found.exclude(num_claims=turns.LAST_TRY)[:_BATCH]))
    due += _choose_last_try(found)
    return [turn.id for turn in due if _try_rescue(turn)]


def _choose_last_try(found: QuerySet[Turn]) -> list[Turn]:
    """Return the turn whose last try may come now, if there is one.

    Several reapers choose the same, and one of them wins it.
    """
    suspects = found.filter(num_claims=turns.LAST_TRY)[:_BATCH]
    due = list(filter(_is_due, suspects))[:1]
    if due and turns.is_last_try_under_way(timedelta(seconds=_UNHEARD_S)):
        return []
    return due


def _is_due(turn: Turn) -> bool:
    """Return whether it is time: jobs of a busy queue are repeated ever more rarely."""
    waited = turn.published_at - turn.created_at
    is_queued = turn.state == TurnState.QUEUED
    return not is_queued or timezone.now() - turn.published_at >= waited


def _try_rescue(turn: Turn) -> bool:
    """Rescue a turn; one that cannot be does not keep the others from it."""
    try:
        return _rescue(turn)
    except Exception:
        logger.exception("turn=%s could not be rescued", turn.id)
        return False


def _rescue(turn: Turn) -> bool:
    if turn.num_claims >= turns.MAX_CLAIMS:
        return _give_up(turn) and _ring_for_next(turn)
    if _is_left_alone(turn) and turns.call_back(turn):
        logger.warning("turn=%s: queue %s has no workers", turn.id, turn.queue)
    # one of several reapers wins this, the others leave the turn alone
    is_mine = Turn.objects.filter(
        pk=turn.pk, attempt=turn.attempt, published_at=turn.published_at
    ).update(published_at=timezone.now())
    if is_mine:
        logger.info("turn=%s state=%s published again", turn.id, turn.state)
        queue_turn(turn.id)
    return bool(is_mine)


def _is_left_alone(turn: Turn) -> bool:
    """Return whether a turn waits for workers for APIs, who are gone, and others live.

    They can make its calls as well. Models are only where their workers are.
    """
    if turn.state != TurnState.QUEUED or turn.queue != Queue.CLOUD:
        return False
    live = dispatch.read_live_queues()
    return bool(live) and turn.queue not in live


def _give_up(turn: Turn) -> bool:
    """End a turn with an apology; what was shown of its reply is taken back first.

    Without an excerpt: the search for one may be what its workers died of.
    """
    if not turns.begin_again(turn):
        return False
    turns.close_lost_calls(turn.id)
    events.publish(turn.conversation_id, events.reply_reset(turn.id, turn.attempt))
    failed = turns.Reply(
        TurnState.FAILED,
        APOLOGY,
        Notice.REPLY_FAILED,
        failure=f"given up after {turn.num_claims} workers",
    )
    logger.error("turn=%s given up after %d claims", turn.id, turn.num_claims)
    return turns.finish(turn, failed)


def _ring_for_next(turn: Turn) -> bool:
    next_turn_id = turns.next_queued(turn.conversation_id)
    if next_turn_id is not None:
        queue_turn(next_turn_id)
    return True


class Reaper(WorkerThread):
    """The thread that reaps every `REAPER_INTERVAL_S`, the first time at once.

    Each round touches `ALIVE_PATH`, once that is there. A round ends whatever becomes
    of Redis and the database, so a file that grows old means that the worker hangs.
    """

    begins_at_once = True
    name = "reaper"
    complaint = "the worker cannot say that it lives"

    @property
    def interval_s(self) -> float:
        """Return how long to wait between rounds."""
        return float(settings.REAPER_INTERVAL_S)

    def __init__(self) -> None:
        super().__init__()
        self._was_away = False

    def do_round(self) -> None:
        """Look once, and say that the worker lives."""
        try:
            reap(was_away=self._was_away)
            self._was_away = False
        except OperationalError as error:
            self._was_away = True
            logger.error("the reaper could not look: %s", error)
        except Exception:
            # the edge of a thread: the next round is the remedy
            logger.exception("the reaper could not look")
        finally:
            _touch_alive_file()


def _touch_alive_file() -> None:
    if settings.ALIVE_PATH:
        with suppress(OSError):  # it is made when the worker takes jobs
            os.utime(settings.ALIVE_PATH)
