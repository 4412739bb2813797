"""The gates that every call has to pass, in their order."""

from collections.abc import Iterable

from inference.budgets import BudgetGate
from inference.ceilings import CeilingGate
from inference.models import Backend
from inference.routing.gates import Gate


def build_gates(rows: Iterable[Backend]) -> list[Gate]:
    """Return the gates of money and rates for calls to the backends of `rows`.

    Ceilings first: they cost no query, and a call that they refuse reserves nothing.
    """
    by_name = {row.name: row for row in rows}
    return [CeilingGate(by_name.get), BudgetGate(by_name.get)]
