"""Routes the request of a fire drill: one backend fails, the others are real.

It goes its own way in three respects only. The drilled backend comes first, as there
would be nothing to see else. What happens is learned by a breaker that is thrown away:
the rehearsed failure opens no real one, and a real one that is open hides nothing. And
the rehearsed call is not billed. The fallback's call is real and costs what such a
call costs.
"""

from collections.abc import Generator
from dataclasses import replace

from inference.admission import build_gates
from inference.backends.faulty import FaultyBackend, Rehearsal
from inference.candidates import build_candidate
from inference.models import Backend as BackendRow
from inference.registry import bill, find_usable, read_enabled, registry
from inference.routing.order import Ranking, why_forbidden
from inference.routing.plan import Candidate, Errand
from inference.routing.router import Router
from inference.rules import OperatorRules, is_cloud_off
from inference.types import AttemptReport, RoutedItem


def route(
    rehearsal: Rehearsal,
    errand: Errand,
    rules: OperatorRules,
    total_s: float,
    only: str = "",
) -> Generator[RoutedItem, None, None]:
    """Send a request to the enabled backends, the one that fails first.

    `only` names the queue that it was handed over to: the fault has struck by then.
    Like `Router.route`. One query.
    """
    enabled = read_enabled()
    rows = [row for row in enabled if not why_forbidden(row, errand.asker, rules)]
    drilled = [] if only else [row for row in rows if row.name == rehearsal.backend]
    others = [row for row in rows if row.name != rehearsal.backend]
    candidates = _line_up(find_usable(rules, enabled), others, total_s)
    faulty = [_build_faulty(row, rehearsal, total_s) for row in drilled]
    ranking = Ranking((*faulty, *candidates), "it is the one that is drilled")
    gates = build_gates(others, candidates, rules)

    def bill_real(report: AttemptReport) -> AttemptReport:
        return report if report.backend == rehearsal.backend else bill(report)

    return Router(bill=bill_real).route(errand, ranking, gates)


def list_drilled() -> list[BackendRow]:
    """Return the enabled backends that have another one to fall back to. Two queries.

    Those that may not be asked now, as nothing leaves the house, are left out.
    """
    rows = read_enabled()
    if is_cloud_off():
        rows = [row for row in rows if not row.leaves_house]
    return rows if len(rows) > 1 else []


def _line_up(
    usable: list[BackendRow], others: list[BackendRow], total_s: float
) -> list[Candidate]:
    """Return the candidates of `others` that this worker can use; none spills."""
    names = {row.name for row in others}
    return [
        replace(one, target_ttft_s=None, elsewhere="")
        for one in registry.line_up(usable, total_s)
        if one.name in names
    ]


def _build_faulty(row: BackendRow, rehearsal: Rehearsal, total_s: float) -> Candidate:
    """Return what fails in the place of a row, which is not made for it."""
    backend = FaultyBackend(row.name, _model_of(row), rehearsal.fault)
    candidate = build_candidate(row, backend, "", total_s)
    return replace(candidate, target_ttft_s=None, leaves_house=False, host="")


def _model_of(row: BackendRow) -> str:
    """Return the model as the ledger calls it; its settings are not looked at."""
    return row.model.rpartition("/")[2] or row.get_kind_display()
