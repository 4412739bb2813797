"""The gates that every call has to pass, in their order."""

from collections.abc import Iterable

from inference.budgets import BudgetGate
from inference.ceilings import CeilingGate
from inference.models import Backend
from inference.routing.gates import Gate
from inference.routing.plan import Candidate
from inference.types import CompletionRequest


def build_gates(rows: Iterable[Backend], candidates: Iterable[Candidate]) -> list[Gate]:
    """Return the gates of money and rates for calls to the candidates of `rows`.

    Ceilings first: they cost no query, and a call that they refuse reserves nothing.
    """
    by_name = {row.name: row for row in rows}
    backends = {candidate.name: candidate.backend for candidate in candidates}

    def bound_reply(name: str, request: CompletionRequest) -> int:
        return backends[name].bound_reply(request)

    return [
        CeilingGate(by_name.get, bound_reply),
        BudgetGate(by_name.get, bound_reply),
    ]
