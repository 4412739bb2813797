"""Routes the request of a fire drill: one backend fails, the others are real.

It goes its own way in two respects only. The drilled backend comes first, as there
would be nothing to see else. And what happens is learned by a breaker that is thrown
away: the rehearsed failure opens no real one, and a real one that is open hides
nothing. The fallback's call is real and costs what such a call costs.
"""

from collections.abc import Generator

from inference.backends.base import Backend
from inference.backends.faulty import FaultyBackend, Rehearsal
from inference.models import Backend as BackendRow
from inference.models import Queue, RoutingPolicy, build_deadlines
from inference.registry import read_usable, registry
from inference.routing.router import OnAttempt, Router
from inference.types import CancelToken, CompletionRequest, RoutedItem


def route(
    rehearsal: Rehearsal,
    request: CompletionRequest,
    cancel: CancelToken,
    on_attempt: OnAttempt,
    total_s: float,
    only: Queue | None = None,
) -> Generator[RoutedItem, None, None]:
    """Send a request to the enabled backends, the one that fails first.

    `only` leaves out those of the other queue, as after a hand-over: the fault has
    struck by then. Like `Router.route`. Three queries.
    """
    rows = read_usable()
    if RoutingPolicy.load().is_cloud_off:
        rows = [row for row in rows if not row.leaves_house]
    names = {row.name for row in rows if only in (None, row.queue)}
    others = [
        backend
        for backend in registry.use(rows)
        if backend.name in names - {rehearsal.backend}
    ]
    drilled = list(BackendRow.objects.filter(name=rehearsal.backend, is_enabled=True))
    faulty: list[Backend] = [
        FaultyBackend(row.name, _model_of(row), rehearsal.fault)
        for row in ([] if only else drilled)
    ]
    deadlines = build_deadlines([*rows, *drilled], total_s)
    router = Router()
    return router.route(request, [*faulty, *others], deadlines, cancel, on_attempt)


def list_drilled() -> list[BackendRow]:
    """Return the enabled backends that have another one to fall back to. Two queries.

    Those that may not be asked now, as nothing leaves the house, are left out.
    """
    rows = list(BackendRow.objects.filter(is_enabled=True))
    if RoutingPolicy.load().is_cloud_off:
        rows = [row for row in rows if not row.leaves_house]
    return rows if len(rows) > 1 else []


def _model_of(row: BackendRow) -> str:
    """Return the model as the ledger calls it; its settings are not looked at."""
    return row.model.rpartition("/")[2] or row.get_kind_display()
