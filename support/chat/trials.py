"""Judges the candidate on trial by its own replies, and rolls it back.

A thread in every worker. Several may come to the same verdict: the row is changed by
compare-and-swap, and one of them writes it down.
"""

from datetime import datetime
from time import monotonic

from django.db.models import Count, Q

from inference.history import forget_old_events
from inference.models import Canary, CanaryState
from inference.routing.canary import Bounds, Record, judge
from inference.rules import end_trial
from support.chat.worker_thread import WorkerThread
from support.models import Attempt, AttemptOutcome, Rating, Turn

LOOK_S = 5.0
# the first-token times of the latest calls are enough for a percentile
_MAX_TIMES = 1000
_TIDY_S = 3600.0


def judge_trials() -> bool:
    """Roll the candidate on trial back if it crossed a bound; return whether it did.

    One query without a trial, else four.
    """
    running = Canary.objects.select_related("candidate")
    canary = running.filter(state=CanaryState.RUNNING).first()
    if canary is None:
        return False
    record = read_record(canary.candidate.name, canary.started_at)
    bounds = Bounds(
        canary.min_replies,
        canary.max_ttft_s,
        canary.max_error_percent,
        canary.max_thumbs_down_percent,
        canary.max_handoff_percent,
    )
    why = judge(record, bounds)
    return bool(why) and end_trial(canary, CanaryState.ROLLED_BACK, why)


def read_record(backend: str, since: datetime) -> Record:
    """Return what a backend did since a moment. Three queries.

    Not counted are fire drills and calls that visitors stopped.
    """
    calls = Attempt.objects.filter(
        backend=backend,
        started_at__gte=since,
        turn__conversation__is_synthetic=False,
        outcome__in=[AttemptOutcome.COMPLETED, AttemptOutcome.FAILED],
    )
    failed = Count("pk", filter=Q(outcome=AttemptOutcome.FAILED))
    sums = calls.aggregate(num=Count("pk"), failed=failed)
    latest = calls.filter(ttft_ms__isnull=False).order_by("-started_at")
    times = latest.values_list("ttft_ms", flat=True)
    answered = Q(attempts__backend=backend, attempts__outcome=AttemptOutcome.COMPLETED)
    turns = Turn.objects.filter(
        answered, attempts__started_at__gte=since, conversation__is_synthetic=False
    ).distinct()
    waiting = Q(conversation__waiting_since__gte=since)
    replies = turns.aggregate(
        num=Count("pk", distinct=True),
        down=Count("pk", filter=Q(reply__rating=Rating.DOWN), distinct=True),
        conversations=Count("conversation", distinct=True),
        handoffs=Count("conversation", filter=waiting, distinct=True),
    )
    return Record(
        ttfts_ms=[time or 0 for time in times[:_MAX_TIMES]],
        num_calls=sums["num"],
        num_errors=sums["failed"],
        num_replies=replies["num"],
        num_thumbs_down=replies["down"],
        num_conversations=replies["conversations"],
        num_handoffs=replies["handoffs"],
    )


class Trials(WorkerThread):
    """The thread of a worker that judges the candidate on trial."""

    name = "trials"
    complaint = "the candidate could not be judged"

    def __init__(self) -> None:
        super().__init__()
        self._tidied_s = float("-inf")

    @property
    def interval_s(self) -> float:
        """Return how long to wait before each look."""
        return LOOK_S

    def do_round(self) -> None:
        """Judge the trial, if there is one; once an hour forget old events."""
        judge_trials()
        if monotonic() - self._tidied_s > _TIDY_S:
            self._tidied_s = monotonic()
            forget_old_events()
