"""The gates that every call has to pass, in their order."""

from collections.abc import Collection, Iterable

from inference.budgets import BudgetGate
from inference.ceilings import CeilingGate
from inference.models import Backend
from inference.routing.gates import Gates
from inference.routing.plan import Candidate
from inference.rules import HouseGate, OperatorRules
from inference.types import CompletionRequest


def build_gates(
    rows: Collection[Backend], candidates: Iterable[Candidate], rules: OperatorRules
) -> Gates:
    """Return the gates for calls to the candidates of `rows`.

    Ceilings before budgets: they cost no query, and a call that they refuse reserves
    nothing. A backend without a budget does not come to that gate.
    """
    by_name = {row.name: row for row in rows}
    budgeted = {row.name: row for row in rows if rules.has_budget(row.name)}
    backends = {candidate.name: candidate.backend for candidate in candidates}

    def bound_reply(name: str, request: CompletionRequest) -> int:
        return backends[name].bound_reply(request)

    return Gates(
        [
            HouseGate({row.name for row in rows if row.leaves_house}),
            CeilingGate(by_name.get, bound_reply),
            BudgetGate(budgeted.get, bound_reply),
        ]
    )
