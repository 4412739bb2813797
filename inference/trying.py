"""Asks one backend one thing, out of the order of routing: tests and replays.

The same call, deadlines and bill as for a customer, and nothing is learned from it:
no breaker, no budget, no ledger. Runs in workers, which may load models.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from inference.backends.base import Backend
from inference.models import Backend as BackendRow
from inference.models import build_deadlines
from inference.registry import (
    bill,
    build_backend,
    find_usable,
    read_enabled,
    registry,
)
from inference.routing.attempt import Attempt
from inference.routing.call import CallThreads
from inference.rules import check_may_leave, read_rules
from inference.types import AttemptReport, CancelToken, CompletionRequest

# a model that is not in use has to be loaded first
_LOAD_S = 60.0
_POLL_S = 0.1

_threads = CallThreads(time.monotonic)


@dataclass(frozen=True, slots=True)
class Tried:
    """What one call brought: the text, and the measured report with its cost."""

    text: str
    report: AttemptReport


@contextmanager
def open_backend(row: BackendRow) -> Iterator[Backend]:
    """Give the backend of a row: that in use, or one made for now and closed after.

    Raises MayNotLeave, which is a ValueError, or another one, OSError or ImportError if
    none can be made.
    """
    check_may_leave(row)
    usable = find_usable(read_rules(), read_enabled())
    in_use = {backend.name: backend for backend in registry.use(usable)}
    if row.is_enabled and row.name in in_use:
        yield in_use[row.name]
        return
    with closing(build_backend(row)) as backend:
        backend.start()
        until_s = time.monotonic() + _LOAD_S
        while not backend.is_ready() and time.monotonic() < until_s:
            time.sleep(_POLL_S)
        yield backend


def ask(
    backend: Backend, row: BackendRow, request: CompletionRequest, total_s: float
) -> Tried:
    """Make one call under the deadlines of the row; a failure is in the report."""
    deadlines = build_deadlines([row], total_s)[row.name]
    attempt = Attempt(1, backend, deadlines, time.monotonic(), time.monotonic)
    for _ in attempt.run(request, CancelToken(), _threads.open):
        pass
    return Tried(attempt.text, bill(attempt.build_report()))
