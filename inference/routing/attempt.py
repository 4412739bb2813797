"""One call to one backend, watched, measured, and reported exactly once."""

from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime

from inference.backends.base import Backend
from inference.errors import BackendError, InvalidResponse, Timeout
from inference.routing.call import Arrival, Call, OpenCall
from inference.routing.deadlines import CallTimes
from inference.routing.usage import Counted, find_usage
from inference.types import (
    AttemptOutcome,
    AttemptReport,
    CancelToken,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    Usage,
)

# How long a cancelled backend may take to say what it used.
CANCEL_GRACE_S = 0.5


class Attempt:
    """A call to `backend`; run it once, then read how it ended.

    `request_s` is when the whole request began: the total deadline counts from there.
    """

    def __init__(
        self,
        number: int,
        backend: Backend,
        deadlines: Deadlines,
        request_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self._backend = backend
        self._clock = clock
        self._started_at = datetime.now(UTC)
        self._times = CallTimes(deadlines, request_s, call_s=clock())
        self._first_delta_s: float | None = None
        self._ended_s: float | None = None
        self._pieces: list[str] = []
        self._request: CompletionRequest | None = None
        self._counted: Usage | None = None
        self._num_counted = 0
        self.completion: Completion | None = None
        self.error: BackendError | None = None

    def run(
        self, request: CompletionRequest, cancel: CancelToken, open_call: OpenCall
    ) -> Generator[Delta, None, None]:
        """Yield the deltas; afterwards `completion` or `error` is set.

        Closed early, it leaves both unset, which counts as cancelled.
        """
        try:
            call = open_call(self._backend, request, self._times.deadlines)
        except BackendError as error:
            self.error = error
            return
        self._request = request
        forget = cancel.on_cancel(call.wake)
        try:
            yield from self._deltas(call, cancel)
        except BackendError as error:
            self.error = error
        finally:
            forget()
            call.abandon()
            self._ended_s = self._clock()

    @property
    def text(self) -> str:
        """Return the sum of the deltas."""
        return "".join(self._pieces)

    @property
    def outcome(self) -> AttemptOutcome:
        """Return what became of the call."""
        if self.error is not None:
            return AttemptOutcome.FAILED
        if self.completion is None:
            return AttemptOutcome.CANCELLED
        if self.completion.finish_reason is FinishReason.CANCELLED:
            return AttemptOutcome.CANCELLED
        return AttemptOutcome.COMPLETED

    def build_report(self) -> AttemptReport:
        """Return the measured record of the call."""
        completion, end = self.completion, self.completion or self.error
        started_s, first_s = self._times.call_s, self._first_delta_s
        return AttemptReport(
            backend=self._backend.name,
            model=self._find_model(),
            number=self.number,
            outcome=self.outcome,
            started_at=self._started_at,
            duration_ms=round((self._last_s - started_s) * 1000),
            ttft_ms=None if first_s is None else round((first_s - started_s) * 1000),
            num_deltas=len(self._pieces),
            error=type(self.error).__name__ if self.error else "",
            error_detail=str(self.error) if self.error else "",
            finish_reason=completion.finish_reason if completion else None,
            usage=self._find_usage(),
            engine=completion.engine if completion else None,
            request_id=end.request_id if end else "",
        )

    def _find_model(self) -> str:
        """Return the name that answered, as exact as it is known."""
        end = self.completion or self.error
        return (end.model if end else "") or self._backend.model

    def _find_usage(self) -> Usage | None:
        """Return what the call used; None if it was not made or not accepted."""
        if self._request is None:
            return None
        after = "".join(self._pieces[self._num_counted :])
        end = self.error or self.completion
        return find_usage(self._request, Counted(self._counted, after), end)

    def _count(self, usage: Usage) -> None:
        """Note what the provider has counted until now."""
        self._counted, self._num_counted = usage, len(self._pieces)

    @property
    def _last_s(self) -> float:
        """Return the end of the call: the last delta of a whole reply."""
        last_delta_s = self._times.last_delta_s
        if self.outcome is AttemptOutcome.COMPLETED and last_delta_s is not None:
            return last_delta_s
        return self._clock() if self._ended_s is None else self._ended_s

    def _deltas(self, call: Call, cancel: CancelToken) -> Generator[Delta, None, None]:
        while not cancel.is_cancelled:
            due_s, kind = self._times.next_due
            arrival = call.take(due_s)
            if arrival is not None:
                item = self._read(arrival)
                if isinstance(item, Completion):
                    self.completion = item
                    return
                if item is not None:
                    yield item
            elif self._clock() >= due_s and not cancel.is_cancelled:
                now_s = self._clock()
                raise Timeout(kind, self._times.waited_s(kind, now_s))
        self.completion = self._completion_of_cancelled(call)

    def _read(self, arrival: Arrival) -> Delta | Completion | None:
        """Return what to pass on of an arrival; None for nothing. Raises errors."""
        item = arrival.item
        if isinstance(item, BackendError):
            raise item
        if isinstance(item, Completion):
            return item
        if isinstance(item, Usage):
            self._count(item)
            return None
        if not isinstance(item, Delta):
            raise InvalidResponse("the stream ended without a completion")
        if not item.text:
            return None
        if self._first_delta_s is None:
            self._first_delta_s = arrival.at_s
        self._times.last_delta_s = arrival.at_s
        self._pieces.append(item.text)
        return item

    def _completion_of_cancelled(self, call: Call) -> Completion:
        """Return the backend's own account of a cancelled call, or a bare one."""
        call.stop()
        until_s = self._clock() + CANCEL_GRACE_S
        while (arrival := call.take(until_s)) is not None:
            if isinstance(arrival.item, Completion):
                return replace(arrival.item, finish_reason=FinishReason.CANCELLED)
            if isinstance(arrival.item, Usage):
                self._count(arrival.item)
            elif not isinstance(arrival.item, Delta):
                break
        return Completion(FinishReason.CANCELLED, None, self._backend.model)
