"""What a call has to pass before it is made: budgets, and ceilings of rates.

A gate books what a call may take before it is made and what it took when it is over,
so that many calls at once cannot pass together where one may.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from inference.routing.plan import Asker
from inference.types import AttemptOutcome, AttemptReport, CompletionRequest

# what a gate is told that let a call pass which another one refused
NO_CALL = AttemptReport(
    backend="",
    model="",
    number=0,
    outcome=AttemptOutcome.CANCELLED,
    started_at=datetime.fromtimestamp(0, UTC),
    duration_ms=0,
    num_deltas=0,
)


class Refused(Exception):  # noqa: N818 - says what happened
    """A gate is shut: no call is made, and the next backend is asked.

    The message says why, for staff: "over its budget of $10 a day".
    """


class Pass(Protocol):
    """Leave for one call."""

    def settle(self, report: AttemptReport) -> None:
        """Book what the call took; called exactly once, however it ended."""


class FreePass:
    """Leave for a call that nothing is booked of."""

    def settle(self, report: AttemptReport) -> None:
        """Do nothing."""


FREE = FreePass()


class Gate(Protocol):
    """Decides before each call; threads share it."""

    def admit(self, backend: str, request: CompletionRequest, asker: Asker) -> Pass:
        """Return leave for one call to a backend; raises Refused."""


class Gates:
    """Several gates, all of which have to let a call pass."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._gates = tuple(gates)

    def admit(self, backend: str, request: CompletionRequest, asker: Asker) -> Pass:
        """Return leave of all; raises Refused.

        If one refuses, or fails, the others have booked nothing.
        """
        passes: list[Pass] = []
        for gate in self._gates:
            try:
                passes.append(gate.admit(backend, request, asker))
            except BaseException:
                for one in reversed(passes):
                    one.settle(NO_CALL)
                raise
        return _Passes(passes)


class _Passes:
    """Leave of several gates."""

    def __init__(self, passes: Sequence[Pass]) -> None:
        self._passes = passes

    def settle(self, report: AttemptReport) -> None:
        """Book the call at each."""
        for one in self._passes:
            one.settle(report)
