"""The operator's rules as they are read for every request, and the gates made of them.

How a trial runs and ends is told in tests/support/chat/test_staying.py.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from inference.admission import build_gates
from inference.models import (
    Backend,
    Budget,
    Canary,
    CanaryState,
    RoutingPolicy,
    Rung,
)
from inference.registry import registry
from inference.routing.gates import NO_CALL, Gates, Refused
from inference.routing.order import Trial
from inference.routing.plan import Asker
from inference.rules import OperatorRules, read_rules
from inference.types import ChatMessage, CompletionRequest
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

REQUEST = CompletionRequest((ChatMessage("user", "Hello"),), max_tokens=9)


def make_trial(
    candidate: Backend, state: str = CanaryState.RUNNING, days_ago: int = 0, **values
) -> Canary:
    started_at = timezone.now() - timedelta(days=days_ago)
    ended_at = None if state == CanaryState.RUNNING else started_at
    return Canary.objects.create(
        candidate=candidate,
        state=state,
        started_at=started_at,
        ended_at=ended_at,
        **values,
    )


def test_an_operator_who_set_nothing_has_these(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert read_rules() == OperatorRules()


def test_all_that_an_operator_set_is_read_at_once(django_assert_num_queries):
    old, new, bad = (make_backend(name=name) for name in ("old", "new", "bad"))
    RoutingPolicy.objects.create(pk=1, is_cloud_off=True, rung=Rung.APOLOGY)
    make_trial(new, share_percent=7)
    make_trial(bad, CanaryState.ROLLED_BACK, days_ago=1)
    Budget.objects.create(backend=old, limit_usd=10)
    with django_assert_num_queries(1):
        rules = read_rules()
    assert rules == OperatorRules(
        is_cloud_off=True,
        trial=Trial("new", 7),
        distrusted=frozenset({"bad"}),
        rung=Rung.APOLOGY,
        budgeted=frozenset({"old"}),
    )


def test_the_deployment_can_switch_the_cloud_off(settings):
    settings.CLOUD_OFF = True
    RoutingPolicy.objects.create(pk=1, is_cloud_off=False)
    assert read_rules().is_cloud_off


@pytest.mark.parametrize(
    ("states", "is_distrusted"),
    [
        (["rolled_back"], True),
        (["rolled_back", "rolled_back"], True),
        (["stopped", "rolled_back"], True),
        (["promoted", "rolled_back"], True),
        (["rolled_back", "stopped"], False),
        (["rolled_back", "promoted"], False),
        (["rolled_back", "running"], False),
        (["stopped"], False),
    ],
)
def test_the_last_of_a_candidates_trials_decides(states, is_distrusted):
    """`states` in the order in which the trials began."""
    new = make_backend(name="new")
    for days_ago, state in enumerate(reversed(states)):
        make_trial(new, state, days_ago)
    assert ("new" in read_rules().distrusted) is is_distrusted


def test_of_trials_that_began_together_the_later_row_decides():
    new = make_backend(name="new")
    trials = [make_trial(new, state) for state in ("stopped", "rolled_back")]
    Canary.objects.update(started_at=trials[0].started_at)
    assert read_rules().distrusted == {"new"}


@pytest.mark.parametrize(
    ("is_for_all", "has_budget"), [(False, [True, False]), (True, [True, True])]
)
def test_a_budget_counts_for_one_or_for_all(is_for_all, has_budget):
    one = make_backend(name="one")
    Budget.objects.create(backend=None if is_for_all else one, limit_usd=10)
    rules = read_rules()
    assert [rules.has_budget(name) for name in ("one", "other")] == has_budget


def test_a_call_at_home_without_a_budget_asks_the_database_nothing(
    django_assert_num_queries,
):
    row = make_backend(name="local")
    gates = build_gates([row], registry.line_up([row], total_s=9), read_rules())
    with django_assert_num_queries(0):
        gates.admit("local", REQUEST, Asker()).settle(NO_CALL)


class _Gate:
    """Lets all pass, or fails as it is told; says what was settled."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.settled: list = []

    def admit(self, backend, request, asker):
        if self.error is not None:
            raise self.error
        return self

    def settle(self, report):
        self.settled.append(report)


@pytest.mark.parametrize("error", [Refused("over its budget"), OSError("no database")])
def test_a_gate_that_does_not_open_leaves_nothing_booked_at_the_others(error):
    first, never = _Gate(), _Gate()
    with pytest.raises(type(error), match=str(error)):
        Gates([first, _Gate(error), never]).admit("cloud", REQUEST, Asker())
    assert (first.settled, never.settled) == ([NO_CALL], [])
