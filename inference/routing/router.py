"""Gets one reply out of several backends, under deadlines.

A failure before the first delta moves on unseen. A later one yields `Reset` before
the next backend begins: nobody reads half a reply from each of two models.
Backends that are not ready, full, too slow or cooling down are asked after the others,
not left out, so the last resort is always tried. What a gate refuses is left out.
"""

import logging
import time
from collections.abc import Callable, Generator

from inference.errors import GoesElsewhere, NoBackendLeft
from inference.routing.attempt import Attempt
from inference.routing.breaker import Ended, Leave, Lesson, build_ended
from inference.routing.breakers import Breakers, ProcessBreakers
from inference.routing.call import CallThreads, OpenCall
from inference.routing.gates import NO_CALL, Gate, Gates, Pass, Refused
from inference.routing.journey import Journey, Place, RetryPolicy
from inference.routing.order import Ranking
from inference.routing.plan import Candidate, Errand, PassedOver
from inference.routing.spill import Spills
from inference.types import (
    AttemptOutcome,
    AttemptReport,
    AttemptStarted,
    Completion,
    FinishReason,
    Reset,
    Routed,
    RoutedItem,
)

logger = logging.getLogger(__name__)

OPEN_GATES = Gates(())


def _unbilled(report: AttemptReport) -> AttemptReport:
    return report


class Router:
    """Routes requests and remembers how backends behave. Threads may share it.

    `bill` fills in what a call cost before anybody hears of it.
    """

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        breakers: Breakers | None = None,
        spills: Spills | None = None,
        clock: Callable[[], float] = time.monotonic,
        open_call: OpenCall | None = None,
        bill: Callable[[AttemptReport], AttemptReport] = _unbilled,
    ) -> None:
        self._policy = policy or RetryPolicy()
        self.breakers = breakers or ProcessBreakers(clock)
        self.spills = spills or Spills(clock)
        self._clock = clock
        self._open_call = open_call or CallThreads(clock).open
        self._bill = bill

    def route(
        self,
        errand: Errand,
        ranking: Ranking[Candidate],
        gate: Gate = OPEN_GATES,
        passed: PassedOver | None = None,
    ) -> Generator[RoutedItem, None, None]:
        """Yield `AttemptStarted`, deltas and resets, and one `Routed` at the end.

        `passed` is a backend of other workers that is known to be busy. The
        deadlines of each candidate are its own; `total_s` counts from the
        beginning of the request. Raises NoBackendLeft when every call failed, nobody
        may be asked, or the time is over; text shown by then was not reset. Raises
        GoesElsewhere before the first call. A cancelled request ends with a `Routed`
        that holds the text so far. Each call's report is handed over before the next
        item; closing the generator early reports the call as cancelled.
        """
        started_s = self._clock()
        journey = Journey(errand, ranking, started_s, self._policy, passed)
        reset: Reset | None = None
        while (chosen := self._next(journey, gate)) is not None:
            if reset is not None:
                yield reset
            place, leave, admitted = chosen
            attempt = yield from self._call(journey, place, leave, admitted)
            if attempt.completion is not None:
                journey.trace.note(_describe_end(place, attempt.completion))
                yield Routed(
                    attempt.text,
                    attempt.completion,
                    tuple(journey.reports),
                    journey.spilled_from,
                    journey.stands_in_for,
                )
                return
            if attempt.text:
                reset = Reset(place.name, journey.reports[-1].error)
            else:
                reset = None
            if attempt.error is not None:
                journey.end_call(place, attempt.error, self._clock())
        if not errand.cancel.is_cancelled:
            why = journey.why_over(self._clock())
            journey.trace.note(f"Gave up: {why}.")
            raise NoBackendLeft(tuple(journey.reports), why)
        nothing = Completion(FinishReason.CANCELLED, None, model="")
        yield Routed("", nothing, tuple(journey.reports), journey.spilled_from)

    def _next(self, journey: Journey, gate: Gate) -> tuple[Place, Leave, Pass] | None:
        """Return whom to call now, with all leave; None when there is nothing to do.

        Waits for whoever may be asked in a moment. Raises GoesElsewhere.
        """
        cancel = journey.errand.cancel
        while not cancel.is_cancelled and not journey.why_over(self._clock()):
            due = journey.find_due(self._clock())
            if not due:
                cancel.wait(max(journey.next_due_s() - self._clock(), 0.0))
                continue
            place, leave = self._choose(journey, due)
            admitted = self._admit(journey, place, leave, gate)
            if admitted is None:
                continue
            if self._goes_elsewhere(journey, place):
                admitted.settle(NO_CALL)
                self.breakers.end(place.name, Ended(leave, Lesson.NOTHING))
                journey.trace.note(f"Left it to the workers of {place.name}.")
                raise GoesElsewhere(place.candidate.elsewhere, journey.spilled_from)
            journey.begin_call(place)
            return place, leave, admitted
        return None

    def _choose(self, journey: Journey, due: list[Place]) -> tuple[Place, Leave]:
        """Return the first that is able and willing, else the first of all."""
        for place in due:
            why_not = self._find_obstacle(journey, place)
            leave = None
            if not why_not:
                leave = self.breakers.ask(place.name, place.candidate.version)
                why_not = "" if leave else "it failed of late and is given a pause"
            if leave:
                return place, leave
            journey.put_off(place, why_not)
        last = self.breakers.ask(due[0].name, due[0].candidate.version, is_last=True)
        assert last is not None
        return due[0], last

    def _find_obstacle(self, journey: Journey, place: Place) -> str:
        """Return why a backend had better not be asked now, empty if it may be."""
        backend = place.candidate.backend
        why = ""
        if not backend.is_ready():
            why = "it is not ready"
        elif backend.is_full():
            why = "it is full"
        if why:
            journey.passed.append(PassedOver(place.name))
            return why
        return self._find_spill(journey, place)

    def _find_spill(self, journey: Journey, place: Place) -> str:
        """Return why a backend's reply goes to another one, empty if it does not."""
        target_s = place.candidate.target_ttft_s
        if target_s is None or len(journey.waiting) == 1:
            return ""
        foreseen_s = place.candidate.backend.predict_ttft_s(journey.errand.request)
        spill = self.spills.look(place.name, foreseen_s, target_s)
        if not spill.is_on:
            return ""
        journey.passed.append(PassedOver(place.name, is_spill=True))
        if foreseen_s is None or foreseen_s <= target_s:
            return "it is catching up after a long queue"
        return (
            f"its first word was foreseen after {foreseen_s:.1f} s, later than its "
            f"target of {target_s:g} s"
        )

    def _admit(
        self, journey: Journey, place: Place, leave: Leave, gate: Gate
    ) -> Pass | None:
        """Return leave of the gates; None, and no place any more, if one refuses."""
        errand = journey.errand
        try:
            return gate.admit(place.name, errand.request, errand.asker)
        except Refused as refusal:
            self.breakers.end(place.name, Ended(leave, Lesson.NOTHING))
            journey.skip(place, str(refusal))
            return None
        except BaseException:
            self.breakers.end(place.name, Ended(leave, Lesson.NOTHING))
            raise

    def _goes_elsewhere(self, journey: Journey, place: Place) -> bool:
        """Return whether a spilled request is for other workers to go on with."""
        queue = place.candidate.elsewhere
        is_spilled = bool(journey.spilled_from) and not journey.is_begun
        return is_spilled and bool(queue) and journey.errand.can_hand_over(queue)

    def _call(
        self, journey: Journey, place: Place, leave: Leave, admitted: Pass
    ) -> Generator[RoutedItem, None, Attempt]:
        """Make one call and book it, however it ends; return it."""
        errand, candidate = journey.errand, place.candidate
        backend = candidate.backend
        attempt = Attempt(
            len(journey.reports) + 1,
            backend,
            candidate.deadlines,
            journey.started_s,
            self._clock,
        )
        started = AttemptStarted(
            backend.name,
            backend.model,
            attempt.number,
            candidate.host,
            candidate.region,
            candidate.leaves_house,
        )
        has_begun = False
        try:
            yield started
            has_begun = True
            yield from attempt.run(errand.request, errand.cancel, self._open_call)
        finally:
            if has_begun:
                self._book(journey, attempt, leave, admitted)
            else:
                self.breakers.end(place.name, Ended(leave, Lesson.NOTHING))
                admitted.settle(NO_CALL)
        return attempt

    def _book(
        self, journey: Journey, attempt: Attempt, leave: Leave, admitted: Pass
    ) -> None:
        """Teach the breaker, settle with the gates, report; write the log line."""
        was_answered = attempt.outcome is AttemptOutcome.COMPLETED
        report = self._bill(attempt.build_report())
        ended = build_ended(leave, attempt.error, was_answered)
        self.breakers.end(report.backend, ended)
        journey.reports.append(report)
        try:
            admitted.settle(report)
        finally:
            journey.errand.on_attempt(report)
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


def _describe_end(place: Place, completion: Completion) -> str:
    if completion.finish_reason is FinishReason.CANCELLED:
        return f"{place.name} was stopped."
    return f"{place.name} answered."
