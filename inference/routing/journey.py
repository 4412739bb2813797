"""What one request has gone through: who waits to be asked, who failed, what is left.

Each backend has one place. It loses it when it is called and gets it back, behind the
others, if the same request may do better there in a moment; so nothing loops.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from inference.errors import BackendError, Retry
from inference.routing.order import Ranking
from inference.routing.plan import Candidate, Errand, PassedOver
from inference.routing.words import Trace, why_failed
from inference.types import AttemptReport


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request may be tried, and after which pauses.

    `max_calls` bounds the calls for one turn, those of earlier workers included, and
    `max_tries` those to one backend. Before the same backend is asked again `pause_s`
    passes, twice as long with each failure, half of it or half again by chance; or
    what it asked for itself, if that is at most `longest_wait_s`.
    """

    max_calls: int = 6
    max_tries: int = 2
    pause_s: float = 0.3
    longest_wait_s: float = 8.0
    chance: Callable[[], float] = random.random

    def choose_pause_s(self, error: BackendError, num_failed: int) -> float:
        """Return how long to leave a backend alone that failed so often."""
        if error.retry_after_s is not None:
            # a little later, each caller at another time
            return max(error.retry_after_s, 0.0) * (1 + 0.1 * self.chance())
        pause_s: float = self.pause_s * 2.0 ** max(num_failed - 1, 0)
        return min(pause_s * (0.5 + self.chance()), self.longest_wait_s)


@dataclass(slots=True)
class Place:
    """A candidate that waits to be asked, from `due_s` on."""

    candidate: Candidate
    num_failed: int = 0
    due_s: float = -math.inf
    was_asked: bool = False

    @property
    def name(self) -> str:
        """Return the backend's name."""
        return self.candidate.name


class Journey:
    """One request on its way. Not shared by threads.

    `passed` are the backends that were passed over as they were busy.
    """

    def __init__(
        self,
        errand: Errand,
        ranking: Ranking[Candidate],
        started_s: float,
        policy: RetryPolicy,
        passed: PassedOver | None = None,
    ) -> None:
        self.errand = errand
        self.started_s = started_s
        self.reports: list[AttemptReport] = []
        self.passed = [passed] if passed else []
        self._policy = policy
        self._ranking = ranking
        self.waiting = self._line_up()

    @property
    def trace(self) -> Trace:
        """Return where decisions are noted."""
        return self.errand.trace

    @property
    def spilled_from(self) -> str:
        """Return the first whose reply would have come late, empty if none."""
        return next((one.name for one in self._find_left() if one.is_spill), "")

    @property
    def stands_in_for(self) -> str:
        """Return the first that was busy, empty if none."""
        return next((one.name for one in self._find_left()), "")

    def _find_left(self) -> list[PassedOver]:
        """Return those that were passed over and not called after all."""
        called = {report.backend for report in self.reports}
        return [one for one in self.passed if one.name not in called]

    @property
    def is_begun(self) -> bool:
        """Return whether a call was made, by this worker or an earlier one."""
        return bool(self.reports or self.errand.earlier.num_calls)

    def why_over(self, now_s: float) -> str:
        """Return why no call may follow, empty if one may."""
        num_calls = len(self.reports) + self.errand.earlier.num_calls
        if not self.waiting:
            return "nobody is left to ask" if self.is_begun else "nobody may be asked"
        if num_calls >= self._policy.max_calls:
            return f"{num_calls} calls were made for this question"
        if not any(self._has_time_for(place, now_s) for place in self.waiting):
            return "the time for the reply is over"
        return ""

    def find_due(self, now_s: float) -> list[Place]:
        """Return who may be asked now, in their order."""
        return [place for place in self.waiting if place.due_s <= now_s]

    def next_due_s(self) -> float:
        """Return when the next of those who wait may be asked."""
        return min(place.due_s for place in self.waiting)

    def begin_call(self, place: Place) -> None:
        """Take a place out of the line and say why it is its turn."""
        self.waiting.remove(place)
        if place.was_asked:
            self.trace.note(f"Asked {place.name} again.")
        elif place.candidate is self._ranking.options[0] and not self.is_begun:
            why = self._ranking.why_first
            self.trace.note(f"Asked {place.name} first{f': {why}' if why else ''}.")
        else:
            self.trace.note(f"Asked {place.name}.")
        place.was_asked = True

    def skip(self, place: Place, why: str) -> None:
        """Take a place out of the line for good."""
        self.waiting.remove(place)
        self.trace.note(f"Skipped {place.name}: {why}.")

    def put_off(self, place: Place, why: str) -> None:
        """Say why a place that is due has to wait for the others."""
        self.trace.note_once(f"Passed over {place.name}: {why}.")

    def end_call(self, place: Place, error: BackendError, now_s: float) -> None:
        """Say how a call failed; line its backend up again if that may help."""
        when = (
            "in the middle of its reply" if self.reports[-1].num_deltas else "at once"
        )
        if not self.reports[-1].num_deltas and self.reports[-1].duration_ms >= 1000:
            when = f"after {self.reports[-1].duration_ms / 1000:.1f} s"
        self.trace.note(f"{place.name} failed {when}: {why_failed(error)}.")
        if error.retry is Retry.NEVER:
            self.waiting.clear()
            return
        if not error.is_others_fault:
            place.num_failed += 1
        may_do_better = error.retry is Retry.HERE or error.is_others_fault
        if not may_do_better or place.num_failed >= self._policy.max_tries:
            return
        place.due_s = now_s + self._policy.choose_pause_s(error, place.num_failed)
        is_long = place.due_s - now_s > self._policy.longest_wait_s
        if is_long or not self._has_time_for(place, place.due_s):
            waits = f"it asked for a pause of {error.retry_after_s or 0:.3g} s"
            self.trace.note(f"Did not wait for {place.name}: {waits}.")
            return
        self.waiting.append(place)

    def _line_up(self) -> list[Place]:
        """Return everybody's place; whoever failed for this turn before is behind."""
        num_failed = self.errand.earlier.num_failed
        fresh: list[Place] = []
        failed: list[Place] = []
        for candidate in self._ranking.options:
            place = Place(candidate, num_failed.get(candidate.name, 0))
            place.was_asked = place.num_failed > 0
            if candidate.leaves_house and self.errand.asker.is_private:
                self.trace.note(f"Skipped {place.name}: the conversation is private.")
            elif place.num_failed >= self._policy.max_tries:
                self.trace.note(
                    f"Skipped {place.name}: it failed for an earlier worker."
                )
            else:
                (failed if place.was_asked else fresh).append(place)
        return fresh + failed

    def _has_time_for(self, place: Place, now_s: float) -> bool:
        return now_s < self.started_s + place.candidate.deadlines.total_s
