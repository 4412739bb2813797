"""Requests that travel on a scripted clock, past a gate that keeps account."""

from dataclasses import dataclass, field

from inference.errors import GoesElsewhere, NoBackendLeft
from inference.routing.gates import NO_CALL, Refused
from inference.routing.journey import RetryPolicy
from inference.routing.order import Ranking
from inference.routing.plan import Candidate, Errand
from inference.routing.router import Router
from inference.types import CancelToken, ChatMessage, CompletionRequest, Deadlines
from tests.inference.routing.scripted_calls import (
    NamedBackend,
    ScriptedCalls,
    ScriptedClock,
    says,
)

REQUEST = CompletionRequest((ChatMessage("user", "Where is my tent?"),), max_tokens=9)
DEADLINES = Deadlines(connect_s=1, first_token_s=5, gap_s=2, total_s=20)
YES = [says("Yes")]


class ClockedCancel(CancelToken):
    """Waits on the scripted clock."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def wait(self, timeout_s):
        self._clock.now_s += timeout_s + 1e-9
        return self.is_cancelled


class FoundBackend(NamedBackend):
    """Foresees what a test says."""

    foreseen_s: float | None = None

    def predict_ttft_s(self, request):
        return self.foreseen_s


@dataclass
class Booking:
    """A gate that keeps account, and refuses those named."""

    refused: dict[str, str] = field(default_factory=dict)
    admitted: list = field(default_factory=list)
    settled: list = field(default_factory=list)

    def admit(self, backend, request, asker):
        if backend in self.refused:
            raise Refused(self.refused[backend])
        self.admitted.append(backend)
        return self

    def settle(self, report):
        self.settled.append(report.backend or NO_CALL.backend)


class Trip:
    """One routed request on a scripted clock."""

    def __init__(self, scripts, policy=None, gate=None, **errand):
        self.clock = ScriptedClock()
        self.calls = ScriptedCalls(self.clock, **scripts)
        policy = policy or RetryPolicy(chance=lambda: 0.5)
        self.router = Router(policy, clock=self.clock, open_call=self.calls)
        self.gate = gate or Booking()
        self.values = {name: {} for name in scripts}
        self.backends = {name: FoundBackend(name) for name in scripts}
        self.cancel = ClockedCancel(self.clock)
        self.reports = []
        self.errand = Errand(REQUEST, self.cancel, self.reports.append, **errand)
        self.error = None
        self.items = []

    def stream(self):
        candidates = tuple(
            Candidate(backend, **{"deadlines": DEADLINES} | self.values[name])
            for name, backend in self.backends.items()
        )
        ranking = Ranking(candidates, "it comes first in the order")
        return self.router.route(self.errand, ranking, self.gate)

    def run(self):
        try:
            self.items = list(self.stream())
        except (NoBackendLeft, GoesElsewhere) as error:
            self.error = error
        return self

    @property
    def trace(self):
        return self.errand.trace.sentences


def fails(error, pause_s=0.1):
    return [(pause_s, error)]
