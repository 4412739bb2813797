"""Gets one reply out of several backends, under deadlines.

A failure before the first delta moves on unseen. A later one yields `Reset` before
the next backend begins: nobody reads half a reply from each of two models.
Backends that are not ready, full, or cooling down are asked after the others, not
left out, so the last resort is always tried. A backend whose connection broke gets
a second try when no other is left: a local engine restarts in a moment. It gets one
more if another request had broken it, which it will not take again.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from inference.backends.base import Backend
from inference.errors import BackendError, Interrupted, NoBackendLeft, Unavailable
from inference.routing.attempt import Attempt
from inference.routing.breaker import Breaker, BreakerState
from inference.routing.call import CallThreads, OpenCall
from inference.types import (
    AttemptOutcome,
    AttemptReport,
    AttemptStarted,
    CancelToken,
    Completion,
    CompletionRequest,
    Deadlines,
    FinishReason,
    Reset,
    Routed,
    RoutedItem,
)

logger = logging.getLogger(__name__)

OnAttempt = Callable[[AttemptReport], None]


@dataclass(slots=True)
class _Journey:
    """What one request has gone through so far."""

    started_s: float
    waiting: list[Backend]
    deadlines: Mapping[str, Deadlines]
    retried: set[str] = field(default_factory=set)
    reports: list[AttemptReport] = field(default_factory=list)

    def has_time_for(self, backend: Backend, now_s: float) -> bool:
        return now_s < self.started_s + self.deadlines[backend.name].total_s


class Router:
    """Routes requests and remembers how backends behave. Threads may share it.

    One router per process: breakers are per process, as each sees its own network.
    `max_calls` bounds the calls that one request may cost; `retry_pause_s` passes
    before the same backend is asked again.
    """

    def __init__(
        self,
        max_calls: int = 3,
        retry_pause_s: float = 0.3,
        clock: Callable[[], float] = time.monotonic,
        open_call: OpenCall | None = None,
    ) -> None:
        self._max_calls = max_calls
        self._retry_pause_s = retry_pause_s
        self._clock = clock
        self._open_call = open_call or CallThreads(clock).open
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}

    def route(
        self,
        request: CompletionRequest,
        backends: Sequence[Backend],
        deadlines: Mapping[str, Deadlines],
        cancel: CancelToken,
        on_attempt: OnAttempt,
    ) -> Generator[RoutedItem, None, None]:
        """Yield `AttemptStarted`, deltas and resets, and one `Routed` at the end.

        `deadlines` holds those of each backend by name; its `total_s` counts from the
        beginning of the request.
        Raises NoBackendLeft when every call failed or the time is over; text shown
        by then was not reset. A cancelled request ends with a `Routed` that holds
        the text so far. `on_attempt` gets each call's report exactly once, on the
        caller's thread, before the next item; closing the generator early reports
        the call as cancelled.
        """
        journey = _Journey(self._clock(), list(backends), deadlines)
        reset: Reset | None = None
        while (backend := self._next_backend(journey, cancel)) is not None:
            if reset is not None:
                yield reset
            attempt = self._build_attempt(journey, backend)
            yield AttemptStarted(backend.name, backend.model, attempt.number)
            try:
                yield from attempt.run(request, cancel, self._open_call)
            finally:
                report = self._record(attempt, backend)
                journey.reports.append(report)
                on_attempt(report)
            if attempt.completion is not None:
                yield Routed(attempt.text, attempt.completion, tuple(journey.reports))
                return
            reset = Reset(backend.name, report.error) if attempt.text else None
            if isinstance(attempt.error, Unavailable | Interrupted):
                self._queue_next_try(journey, backend, attempt.error)
        if not cancel.is_cancelled:
            raise NoBackendLeft(tuple(journey.reports))
        nothing = Completion(FinishReason.CANCELLED, None, model="")
        yield Routed("", nothing, tuple(journey.reports))

    def breaker_states(self) -> dict[str, BreakerState]:
        """Return how each backend that was called stands, by name."""
        with self._lock:
            breakers = dict(self._breakers)
        return {name: breaker.state for name, breaker in breakers.items()}

    def forget(self, name: str) -> None:
        """Start afresh with a backend whose settings were changed."""
        with self._lock:
            self._breakers.pop(name, None)

    def _next_backend(self, journey: _Journey, cancel: CancelToken) -> Backend | None:
        """Return the best backend to call now; None when there is nothing to do.

        Pauses before a second try.
        """
        has_calls = len(journey.reports) < self._max_calls
        if cancel.is_cancelled or not journey.waiting or not has_calls:
            return None
        backend = self._choose(journey.waiting)
        journey.waiting.remove(backend)
        if backend.name in journey.retried:
            cancel.wait(self._retry_pause_s)
        has_time = journey.has_time_for(backend, self._clock())
        return backend if has_time and not cancel.is_cancelled else None

    def _choose(self, waiting: Sequence[Backend]) -> Backend:
        for backend in waiting:
            is_willing = backend.is_ready() and not backend.is_full()
            if is_willing and self._breaker(backend).allows_call():
                return backend
        return waiting[0]

    def _build_attempt(self, journey: _Journey, backend: Backend) -> Attempt:
        number = len(journey.reports) + 1
        deadlines = journey.deadlines[backend.name]
        return Attempt(number, backend, deadlines, journey.started_s, self._clock)

    def _queue_next_try(
        self, journey: _Journey, backend: Backend, error: BackendError
    ) -> None:
        if error.is_others_fault or backend.name not in journey.retried:
            journey.retried.add(backend.name)
            journey.waiting.append(backend)

    def _record(self, attempt: Attempt, backend: Backend) -> AttemptReport:
        """Teach the breaker, write the log line, return the report."""
        breaker = self._breaker(backend)
        if isinstance(attempt.error, BackendError):
            breaker.record_failure(attempt.error)
        elif attempt.outcome is AttemptOutcome.CANCELLED:
            breaker.record_cancelled()
        else:
            breaker.record_success()
        report = attempt.build_report()
        logger.info(
            "attempt=%d backend=%s model=%s outcome=%s error=%s ttft_ms=%s"
            " duration_ms=%d",
            report.number,
            report.backend,
            report.model,
            report.outcome,
            report.error or "-",
            report.ttft_ms,
            report.duration_ms,
        )
        return report

    def _breaker(self, backend: Backend) -> Breaker:
        with self._lock:
            return self._breakers.setdefault(backend.name, Breaker(self._clock))
