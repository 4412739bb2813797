"""The operator's rules for every request, read from the rows when they count."""

from collections.abc import Collection
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection
from django.utils import timezone

from inference.history import store_event
from inference.models import (
    Backend,
    Canary,
    CanaryState,
    EventKind,
    RoutingPolicy,
    Rung,
)
from inference.routing.gates import FREE, Pass, Refused
from inference.routing.order import Rules, Trial
from inference.routing.plan import Asker
from inference.types import CompletionRequest

# By hand, as it comes before every first token: three queries of the ORM took 1.7 ms,
# this takes 0.25. Of a candidate's ended trials the latest counts.
_READ_RULES = """
SELECT 'policy', rung, '', CASE WHEN is_cloud_off THEN 1 ELSE 0 END
  FROM inference_routingpolicy
UNION ALL
SELECT 'trial', backend.name, trial.state, trial.share_percent
  FROM inference_canary trial
  JOIN inference_backend backend ON backend.id = trial.candidate_id
 WHERE trial.state = 'running' OR trial.state = 'rolled_back' AND NOT EXISTS (
       SELECT 1 FROM inference_canary later
        WHERE later.candidate_id = trial.candidate_id
          AND (later.started_at, later.id) > (trial.started_at, trial.id))
UNION ALL
SELECT 'budget', COALESCE(backend.name, ''), '', 0
  FROM inference_budget budget
  LEFT JOIN inference_backend backend ON backend.id = budget.backend_id
"""


class MayNotLeave(ValueError):  # noqa: N818 - says what happened
    """What is to be sent must not leave the house, and the backend is outside."""


@dataclass(frozen=True, slots=True)
class OperatorRules(Rules):
    """The rules of the order, and what else the operator says of every request.

    Replies begin with `rung`. `budgeted` are the backends of which a budget is kept,
    by name; an empty name stands for all.
    """

    rung: Rung = Rung.MODEL
    budgeted: frozenset[str] = field(default_factory=frozenset)

    def has_budget(self, backend: str) -> bool:
        """Return whether a budget counts for a backend."""
        return backend in self.budgeted or "" in self.budgeted


def is_cloud_off() -> bool:
    """Return whether nothing may leave the house: here, or by the operator's switch.

    One query, none where the deployment has switched it off.
    """
    return settings.CLOUD_OFF or RoutingPolicy.load().is_cloud_off


def check_may_leave(row: Backend, is_private: bool = False) -> None:
    """Raise MayNotLeave if a backend is outside and this must stay here. One query."""
    if row.leaves_house and is_private:
        raise MayNotLeave("The conversation is private.")
    if row.leaves_house and is_cloud_off():
        raise MayNotLeave("Nothing may leave the house: see the routing policy.")


def read_rules() -> OperatorRules:
    """Return the rules as they are now. One query."""
    is_off, rung, running = settings.CLOUD_OFF, Rung.MODEL, None
    failed: set[str] = set()
    budgeted: set[str] = set()
    with connection.cursor() as cursor:
        cursor.execute(_READ_RULES)
        for what, name, state, number in cursor.fetchall():
            if what == "policy":
                is_off, rung = is_off or bool(number), Rung(name)
            elif what == "budget":
                budgeted.add(name)
            elif state == CanaryState.RUNNING:
                running = Trial(name, number)
            else:
                failed.add(name)
    return OperatorRules(
        is_off, running, frozenset(failed), rung, budgeted=frozenset(budgeted)
    )


def end_trial(canary: Canary, state: CanaryState, why: str) -> bool:
    """End a trial; return whether it was running. Its conversations move on."""
    ended = Canary.objects.filter(pk=canary.pk, state=CanaryState.RUNNING).update(
        state=state, reason=why[:300], ended_at=timezone.now()
    )
    if ended:
        text = f"{CanaryState(state).label}: {why}"
        store_event(canary.candidate.name, EventKind.CANARY_ENDED, text)
    return bool(ended)


class HouseGate:
    """Looks before each call that leaves the house whether that is still allowed.

    A route may last for a minute, and the switch counts at once.
    """

    def __init__(self, leaving: Collection[str]) -> None:
        self._leaving = leaving

    def admit(self, backend: str, request: CompletionRequest, asker: Asker) -> Pass:
        """Return leave for a call; raises Refused. One query if it leaves the house."""
        if backend in self._leaving and is_cloud_off():
            raise Refused("nothing may leave the house")
        return FREE
