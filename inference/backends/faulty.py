"""A backend that fails in a known way: what a fire drill puts in a real one's place.

It answers under the real one's name and never calls it, so that nothing is billed and
nothing leaves the house for the failure itself. Each fault ends as the real backends
end it: with the same error, or with the silence that the router's deadlines are for.
"""

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum

from inference.backends.base import Backend
from inference.backends.statuses import error_of_status
from inference.errors import BackendError, Interrupted, InvalidResponse, Unavailable
from inference.types import (
    CancelToken,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    StreamItem,
)

# what a customer may see of the reply that then fails
BEGINNING = ("One ", "moment, ", "I am ", "looking ", "that ")
_RETRY_AFTER_S = 30.0
# so much longer than its deadline does a late first word take
_LATENESS = 1.2


class Fault(StrEnum):
    """What can go wrong, in the words of `manage.py drill`."""

    REFUSE = "refuse"
    WRONG_KEY = "wrong-key"
    RATE_LIMIT = "rate-limit"
    SERVER_ERROR = "server-error"
    HANG = "hang"
    HANG_MIDWAY = "hang-midway"
    CUT = "cut"
    SLOW = "slow"
    EMPTY = "empty"
    MALFORMED = "malformed"


MEANINGS = {
    Fault.REFUSE: "the connection is refused",
    Fault.WRONG_KEY: "the key is wrong (401)",
    Fault.RATE_LIMIT: "too many requests (429, Retry-After 30 s)",
    Fault.SERVER_ERROR: "the server fails (500)",
    Fault.HANG: "no word ever comes",
    Fault.HANG_MIDWAY: "it stops in the middle and stays silent",
    Fault.CUT: "the connection breaks in the middle",
    Fault.SLOW: "the first word comes after its deadline",
    Fault.EMPTY: "the answer is empty",
    Fault.MALFORMED: "the answer makes no sense",
}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Which backend of a route fails, and how."""

    backend: str
    fault: Fault


class FaultyBackend(Backend):
    """Fails as `fault` says, under the name and model of the backend it stands for."""

    def __init__(self, name: str, model: str, fault: Fault) -> None:
        self.name = name
        self.model = model
        self._fault = fault

    def stream(
        self, request: CompletionRequest, deadlines: Deadlines, cancel: CancelToken
    ) -> Generator[StreamItem, None, None]:
        """Say what comes before the fault, then fail."""
        error = _error_at_once(self._fault)
        if error is not None:
            raise error
        if self._fault in (Fault.CUT, Fault.HANG_MIDWAY):
            for text in BEGINNING:
                yield Delta(text)
        if self._fault is Fault.CUT:
            raise Interrupted("the stream ended before the answer did (a fire drill)")
        late_s = _LATENESS * deadlines.first_token_s
        cancel.wait(late_s if self._fault is Fault.SLOW else deadlines.total_s)
        if self._fault is Fault.SLOW and not cancel.is_cancelled:
            yield Delta("Too late.")
        reason = FinishReason.CANCELLED if cancel.is_cancelled else FinishReason.STOP
        yield Completion(reason, None, self.model)


def _error_at_once(fault: Fault) -> BackendError | None:
    """Return the error of a fault that strikes before the first word; None for others.

    Statuses are translated where those of real answers are.
    """
    if fault is Fault.REFUSE:
        return Unavailable("connection refused (a fire drill)")
    if fault is Fault.WRONG_KEY:
        return error_of_status(401, "HTTP 401 (a fire drill)")
    if fault is Fault.RATE_LIMIT:
        return error_of_status(429, "HTTP 429 (a fire drill)", _RETRY_AFTER_S)
    if fault is Fault.SERVER_ERROR:
        return error_of_status(500, "HTTP 500 (a fire drill)")
    if fault is Fault.EMPTY:
        return InvalidResponse("the answer is empty (a fire drill)")
    if fault is Fault.MALFORMED:
        return InvalidResponse("an event of the stream is not JSON (a fire drill)")
    return None
