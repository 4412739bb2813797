"""The ledger of calls to models: a row before each call, closed once after it."""

from collections import Counter

from django.dispatch import Signal
from django.utils import timezone

from inference.routing.plan import Earlier
from inference.types import AttemptReport, AttemptStarted
from support.models import Attempt, AttemptOutcome, Turn

# Sent with `attempt`, the closed row. An error of a receiver is logged, no more.
call_closed = Signal()
# Sent with `backend`, the name of one that was too busy for a turn another answered.
turn_spilled = Signal()


class Ledger:
    """Books the calls of one claimed turn, numbered on from earlier workers' calls."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._num_before = 0
        self.earlier = Earlier()
        self.spent_s = 0.0
        # the backends that were called when a worker was lost
        self.lost: list[str] = []
        if turn.attempt > 1:  # before the first attempt there are no calls
            self._read_earlier()

    def open(self, started: AttemptStarted) -> None:
        """Write the row of a call that is about to be made. One query."""
        now = timezone.now()
        Attempt.objects.create(
            turn=self._turn,
            number=self._num_before + started.number,
            turn_attempt=self._turn.attempt,
            backend=started.backend,
            model=started.model,
            queue_ms=round((now - self._turn.created_at).total_seconds() * 1000),
            started_at=now,
            host=started.host[:253],
            region=started.region,
            left_house=started.leaves_house,
        )

    def close(self, report: AttemptReport) -> None:
        """Complete the row with what the call took and cost. Two queries.

        The costs are those of the report, which is billed; NULL where no price is
        known. Sends `call_closed`, but not of a fire drill, which is no traffic.
        """
        usage = report.usage
        calls = Attempt.objects.filter(
            turn=self._turn, number=self._num_before + report.number
        )
        is_closed = calls.filter(
            outcome__in=[AttemptOutcome.RUNNING, AttemptOutcome.LOST]
        ).update(
            model=report.model,
            outcome=report.outcome.value,
            error=report.error,
            error_detail=report.error_detail[:500],
            finish_reason=report.finish_reason or "",
            prompt_tokens=report.prompt_tokens,
            completion_tokens=report.completion_tokens,
            cached_tokens=usage.cached_tokens if usage else None,
            cache_write_tokens=usage.cache_write_tokens if usage else None,
            reasoning_tokens=usage.reasoning_tokens if usage else None,
            is_usage_estimated=bool(usage and usage.is_estimated),
            cost_usd=report.cost_usd,
            hardware_usd=report.hardware_usd,
            busy_ms=report.engine.busy_ms if report.engine else None,
            ttft_ms=report.ttft_ms,
            itl_ms=report.engine.itl_ms if report.engine else None,
            duration_ms=report.duration_ms,
            request_id=report.request_id[:200],
            finished_at=timezone.now(),
        )
        if is_closed and not self._turn.conversation.is_synthetic:
            call_closed.send_robust(sender=Ledger, attempt=calls.get())

    def _read_earlier(self) -> None:
        """Learn which calls were made before; those that got lost count as calls only.

        One query.
        """
        calls = list(self._turn.attempts.all())
        self._num_before = max((call.number for call in calls), default=0)
        self.spent_s = sum(call.duration_ms or 0 for call in calls) / 1000
        self.lost = [
            call.backend for call in calls if call.outcome == AttemptOutcome.LOST
        ]
        failed = AttemptOutcome.FAILED
        self.earlier = Earlier(
            num_calls=len(calls),
            num_failed=Counter(
                call.backend for call in calls if call.outcome == failed
            ),
            asked=frozenset(call.backend for call in calls),
        )
