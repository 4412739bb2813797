"""The gates that every call has to pass, in their order."""

from inference.budgets import BudgetGate, ReadRow
from inference.ceilings import CeilingGate
from inference.routing.gates import Gates


def build_gates(read_row: ReadRow) -> Gates:
    """Return the gates; `read_row` returns a backend's row by its name.

    Ceilings first: they cost no query, and a call that they refuse reserves nothing.
    """
    return Gates([CeilingGate(read_row), BudgetGate(read_row)])
