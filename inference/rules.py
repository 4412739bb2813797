"""The operator's rules for every request, read from the rows when they count."""

from collections.abc import Collection

from django.conf import settings
from django.utils import timezone

from inference.history import store_event
from inference.models import Backend, Canary, CanaryState, EventKind, RoutingPolicy
from inference.routing.gates import Pass, Refused
from inference.routing.order import Rules, Trial
from inference.routing.plan import Asker
from inference.types import AttemptReport, CompletionRequest

# of older trials nobody remembers the end
_MAX_TRIALS = 200


class CloudOff(ValueError):  # noqa: N818 - says what happened
    """A backend that leaves the house is not made while nothing may leave it."""


def is_cloud_off() -> bool:
    """Return whether nothing may leave the house: here, or by the operator's switch.

    One query, none where the deployment has switched it off.
    """
    return settings.CLOUD_OFF or RoutingPolicy.load().is_cloud_off


def check_may_leave(row: Backend) -> None:
    """Raise CloudOff if a backend leaves the house and nothing may."""
    if row.leaves_house and is_cloud_off():
        raise CloudOff(f"{row.name}: nothing may leave the house")


def read_rules() -> Rules:
    """Return the rules as they are now. Two queries."""
    trials = Canary.objects.order_by("-started_at", "-pk").values_list(
        "candidate__name", "state", "share_percent"
    )[:_MAX_TRIALS]
    running: Trial | None = None
    latest: dict[str, str] = {}
    for name, state, share_percent in trials:
        latest.setdefault(name, state)
        if state == CanaryState.RUNNING:
            running = Trial(name, share_percent)
    failed = (
        name for name, is_at in latest.items() if is_at == CanaryState.ROLLED_BACK
    )
    return Rules(is_cloud_off(), running, frozenset(failed))


def end_trial(canary: Canary, state: CanaryState, why: str) -> bool:
    """End a trial; return whether it was running. Its conversations move on."""
    ended = Canary.objects.filter(pk=canary.pk, state=CanaryState.RUNNING).update(
        state=state, reason=why[:300], ended_at=timezone.now()
    )
    if ended:
        text = f"{CanaryState(state).label}: {why}"
        store_event(canary.candidate.name, EventKind.CANARY_ENDED, text)
    return bool(ended)


class _Leave:
    """Leave to call, with nothing to book."""

    def settle(self, report: AttemptReport) -> None:
        """Do nothing."""


class HouseGate:
    """Looks before each call that leaves the house whether that is still allowed.

    A route may last for a minute, and the switch counts at once.
    """

    def __init__(self, leaving: Collection[str]) -> None:
        self._leaving = leaving

    def admit(self, backend: str, request: CompletionRequest, asker: Asker) -> Pass:
        """Return leave for a call; raises Refused. One query if it leaves the house."""
        if backend in self._leaving:
            if asker.is_private:
                raise Refused("the conversation is private")
            if is_cloud_off():
                raise Refused("nothing may leave the house")
        return _Leave()
