"""Which deadline of a call comes next, computed from times alone."""

from dataclasses import dataclass

from inference.types import DeadlineKind, Deadlines


@dataclass(slots=True)
class CallTimes:
    """When a call began and last gave a sign of life, in seconds of one clock.

    `request_s` is the start of the whole request, `last_delta_s` None until text came.
    """

    deadlines: Deadlines
    request_s: float
    call_s: float
    last_delta_s: float | None = None

    @property
    def next_due(self) -> tuple[float, DeadlineKind]:
        """Return when the next deadline passes and which one it is.

        The total wins a tie: nothing can be tried after it.
        """
        total_s = self.request_s + self.deadlines.total_s
        if self.last_delta_s is None:
            wait_s, kind = self.call_s + self.deadlines.first_token_s, FIRST_TOKEN
        else:
            wait_s, kind = self.last_delta_s + self.deadlines.gap_s, DeadlineKind.GAP
        if wait_s < total_s:
            return wait_s, kind
        return total_s, DeadlineKind.TOTAL

    def waited_s(self, kind: DeadlineKind, now_s: float) -> float:
        """Return how long the wait that `kind` bounds has lasted at `now_s`."""
        if kind is DeadlineKind.TOTAL:
            return now_s - self.request_s
        if kind is DeadlineKind.GAP and self.last_delta_s is not None:
            return now_s - self.last_delta_s
        return now_s - self.call_s


FIRST_TOKEN = DeadlineKind.FIRST_TOKEN
