"""Whom a request goes to: the operator's rows and rules, made into a route.

docs/routing.md has the rules in the order in which they apply.
"""

import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from inference.admission import build_gates
from inference.candidates import find_names
from inference.errors import GoesElsewhere
from inference.models import Backend as BackendRow
from inference.models import Canary, Queue, RoutingPolicy
from inference.registry import (
    find_usable,
    read_breakers,
    read_enabled,
    read_spilling,
    registry,
)
from inference.routing.breaker import BreakerState
from inference.routing.order import Rules, put_before, rank, why_forbidden
from inference.routing.plan import Asker, Candidate, Errand, PassedOver
from inference.rules import OperatorRules, read_rules
from inference.types import RoutedItem


def route(
    errand: Errand, rules: OperatorRules, total_s: float, only: str = ""
) -> Generator[RoutedItem, None, None]:
    """Send a request to the enabled backends, in the order of docs/routing.md.

    `only` names the queue whose backends are asked first, by a worker that was handed
    the request; others follow if they were not asked for it yet. Like `Router.route`,
    and raises GoesElsewhere if other workers are to begin. One query.
    """
    rows = read_enabled()
    allowed = _find_allowed(rows, rules, errand)
    usable = find_usable(rules, rows)
    candidates = registry.line_up(usable, total_s)
    names = {row.name for row in allowed}
    candidates = [one for one in candidates if one.name in names]
    if only:
        return _go_on(errand, rules, candidates, rows, only)
    passed = None
    if not registry.loads_models:
        passed = _check_whose_turn(errand, rules, allowed)
    registry.remember(errand.request)
    ranking = rank(candidates, errand.asker, rules)
    gates = build_gates(rows, candidates, rules)
    return registry.router.route(errand, ranking, gates, passed)


def _go_on(
    errand: Errand,
    rules: OperatorRules,
    candidates: list[Candidate],
    rows: Sequence[BackendRow],
    queue: str,
) -> Generator[RoutedItem, None, None]:
    """Route what was handed over: to backends of its queue, then to those not asked.

    Nothing is handed over again from here, so that it comes to an end.
    """
    first = find_names(rows, queue)
    staying = [
        replace(one, target_ttft_s=None, elsewhere="")
        for one in candidates
        if one.name in first or one.name not in errand.earlier.asked
    ]
    ranking = rank(staying, errand.asker, rules)
    ranking = put_before(ranking, first, "the question was left to its workers")
    return registry.router.route(errand, ranking, build_gates(rows, staying, rules))


def _find_allowed(
    rows: Sequence[BackendRow], rules: Rules, errand: Errand
) -> list[BackendRow]:
    """Return the rows that may be asked; says of the others why not."""
    allowed = []
    for row in rows:
        why = why_forbidden(row, errand.asker, rules)
        if why:
            errand.trace.note(f"Skipped {row.name}: {why}.")
        else:
            allowed.append(row)
    return allowed


def _check_whose_turn(
    errand: Errand, rules: Rules, allowed: Sequence[BackendRow]
) -> PassedOver | None:
    """Return the model of others that comes first and is busy, None if none is.

    Raises GoesElsewhere if it could answer.
    """
    ranking = rank(allowed, errand.asker, rules)
    first = ranking.options[0] if ranking.options else None
    if first is None or first.queue != Queue.LOCAL:
        return None
    if first.name in read_spilling([first.name]):
        errand.trace.note(f"Passed over {first.name}: its replies would be late.")
        return PassedOver(first.name, is_spill=True)
    if read_breakers([first.name])[first.name].state is BreakerState.OPEN:
        errand.trace.note(f"Passed over {first.name}: it failed of late.")
    elif not errand.can_hand_over(Queue.LOCAL):
        errand.trace.note(f"Passed over {first.name}: none of its workers is there.")
        return PassedOver(first.name)
    else:
        errand.trace.note(
            f"Left it to the workers of {first.name}: {ranking.why_first}."
        )
        raise GoesElsewhere(Queue.LOCAL)
    return None


def find_queue_left(asker: Asker, asked: Collection[str]) -> Queue | None:
    """Return the queue of a backend that only others have and nobody asked yet.

    It is one that may be asked; None if there is none. Two queries in a worker for
    APIs, none in others.
    """
    if registry.loads_models:
        return None
    rules = read_rules()
    for row in read_enabled():
        is_left = row.queue not in registry.queues and row.name not in asked
        if is_left and not why_forbidden(row, asker, rules):
            return row.queue
    return None


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What those who queue jobs know of backends, and when they learned it."""

    rows: Sequence[BackendRow]
    rules: Rules
    spilling: Collection[str]
    read_s: float

    def is_older_than(self, age_s: float) -> bool:
        """Return whether it was read longer ago."""
        return time.monotonic() - self.read_s > age_s


_outlook: _Outlook | None = None
# after which it is read anew when a job is queued, and before one is
OUTLOOK_S = 1.0
STALE_S = 10.0


@receiver([post_save, post_delete], sender=BackendRow, dispatch_uid="outlook")
@receiver([post_save, post_delete], sender=Canary, dispatch_uid="outlook")
@receiver([post_save, post_delete], sender=RoutingPolicy, dispatch_uid="outlook")
def forget_outlook(**_: object) -> None:
    """Look anew when the next job is queued."""
    global _outlook
    _outlook = None


def first_queue(asker: Asker, live: Collection[str] = ()) -> Queue:
    """Return the queue of the backend that is probably asked first.

    A hint: the worker that takes the job decides. `live` are the queues whose workers
    are known to take jobs. Without a backend jobs go where models are, as the next one
    may be there. No query if `look_around` had a look in the last ten seconds.
    """
    outlook = _outlook
    if outlook is None or outlook.is_older_than(STALE_S):
        outlook = _read_outlook()
    rules = outlook.rules
    allowed = [row for row in outlook.rows if not why_forbidden(row, asker, rules)]
    ranked = rank(allowed, asker, rules).options
    for row in ranked:
        is_late = row.name in outlook.spilling
        if not is_late and (not live or row.queue in live):
            return row.queue
    return ranked[0].queue if ranked else Queue.LOCAL


def look_around() -> None:
    """Look for `first_queue` how backends are. Two queries a second at most."""
    if _outlook is None or _outlook.is_older_than(OUTLOOK_S):
        _read_outlook()


def _read_outlook() -> _Outlook:
    global _outlook
    rows = list(BackendRow.objects.filter(is_enabled=True).defer("key"))
    targeted = [row.name for row in rows if row.target_ttft_s is not None]
    spilling = read_spilling(targeted) if targeted else ()
    outlook = _Outlook(rows, read_rules(), spilling, time.monotonic())
    _outlook = outlook
    return outlook


def report_spills(worker: str) -> None:
    """Foresee first tokens anew and say what spills, for those who queue jobs."""
    spills = registry.look_ahead()
    if spills:
        said = {name: spill.is_on for name, spill in spills.items()}
        registry.board.report(worker, said)
