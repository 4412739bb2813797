"""Which changes of the order need a second look, and what they would do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode

from inference.models import Backend, Canary, CanaryState
from inference.rules import end_trial, is_cloud_off
from support.chat.tryouts import find_old_calls
from support.models import (
    OPEN_STATES,
    Attempt,
    Conversation,
    Replay,
    ReplayedCall,
    Turn,
)
from support.monitoring import formats


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backend is to stand."""

    pk: int
    position: int
    is_enabled: bool

    def as_text(self) -> str:
        """Return it as it stands in the address of the page."""
        return f"{self.pk}:{self.position}:{int(self.is_enabled)}"


@dataclass(frozen=True, slots=True)
class Change:
    """Who is asked first now and who would be; None where nobody is."""

    before: Backend | None
    after: Backend | None
    places: Sequence[Place]

    @property
    def is_of_default(self) -> bool:
        """Return whether another backend would be asked first."""
        return _key(self.before) != _key(self.after)


def _key(row: Backend | None) -> int | None:
    return row.pk if row is not None else None


def read_places(texts: Iterable[str]) -> list[Place]:
    """Return the places of an address; raises ValueError if they make no sense."""
    places = []
    for text in texts:
        pk, position, is_enabled = map(int, text.split(":"))
        if not 0 <= position <= 32767:
            raise ValueError(f"no such position: {position}")
        places.append(Place(pk, position, bool(is_enabled)))
    return places


def plan(places: Sequence[Place]) -> Change:
    """Return what backends at these places would change. One query."""
    rows = list(Backend.objects.all())
    wanted = {place.pk: place for place in places}
    before = min(filter(_is_on, rows), key=_order, default=None)
    moved = []
    for row in rows:
        place = wanted.get(row.pk)
        is_on = row.is_enabled if place is None else place.is_enabled
        position = row.position if place is None else place.position
        if is_on:
            moved.append((position, row.name, row))
    after = min(moved, default=(0, "", None))[2]
    known = {row.pk for row in rows}
    return Change(before, after, [place for place in places if place.pk in known])


def place_first(row: Backend) -> list[Place]:
    """Return the places with which a backend is asked first. One query.

    The others keep their order; they move only if there is no room before them.
    """
    others = Backend.objects.filter(is_enabled=True).exclude(pk=row.pk)
    room = min((other.position for other in others), default=1)
    first = Place(row.pk, max(room - 1, 0), is_enabled=True)
    if room > 0:
        return [first]
    moved = [Place(other.pk, other.position + 1, is_enabled=True) for other in others]
    return [first, *moved]


def build_address(places: Iterable[Place]) -> str:
    """Return the address of the card that shows what such places would change."""
    query = urlencode({"set": [place.as_text() for place in places]}, doseq=True)
    return f"{reverse('admin:inference_backend_switch')}?{query}"


def apply(change: Change) -> None:
    """Move the backends; each save is written down in its history.

    A candidate on trial whose place is given is promoted if it is the default then.
    """
    wanted = {place.pk: place for place in change.places}
    with transaction.atomic():
        for row in Backend.objects.select_for_update().filter(pk__in=wanted):
            place = wanted[row.pk]
            row.position, row.is_enabled = place.position, place.is_enabled
            row.save()
        trials = Canary.objects.filter(
            Q(candidate=change.after) & Q(candidate__in=wanted),
            state=CanaryState.RUNNING,
        )
        for canary in trials.select_related("candidate"):
            end_trial(canary, CanaryState.PROMOTED, "it is asked first from now on")


def _is_on(row: Backend) -> bool:
    return row.is_enabled


def _order(row: Backend) -> tuple[int, str]:
    return row.position, row.name


@dataclass(frozen=True, slots=True)
class Effect:
    """How many conversations a switch concerns, and whether a rule is against it."""

    num_pinned: int
    num_open: int
    num_private: int
    is_held_back: bool


def count_effect(change: Change) -> Effect:
    """Return what a switch concerns now. Four queries."""
    real = Conversation.objects.filter(is_synthetic=False)
    name = change.before.name if change.before is not None else ""
    leaves_house = change.after is not None and change.after.leaves_house
    return Effect(
        num_pinned=real.filter(backend=name).count() if name else 0,
        num_open=Turn.objects.filter(state__in=OPEN_STATES).count(),
        num_private=real.filter(is_private=True).count(),
        is_held_back=leaves_house and is_cloud_off(),
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """An old question, the reply it got, and the candidate's answer now."""

    question: str
    old: str
    new: str
    problem: str
    old_numbers: str
    new_numbers: str


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of both: its name, then now and then."""

    name: str
    old: str
    new: str


def compare(replay: Replay) -> tuple[list[Row], list[Pair]]:
    """Return the medians of both sides, and every answer beside the old. Two queries.

    Only what both have is compared: the same questions.
    """
    calls = list(replay.calls.select_related("turn__question", "turn__reply"))
    old = find_old_calls(calls)
    olds = [old[call.turn_id] for call in calls if call.turn_id in old]
    good = [call for call in calls if not call.error]
    rows = [
        Row("Questions", formats.count(len(olds)), formats.count(len(calls))),
        Row("Failed", formats.NONE, formats.count(len(calls) - len(good))),
        Row("First token, median", _ms(olds, "ttft_ms"), _ms(good, "ttft_ms")),
        Row("Whole reply, median", _ms(olds, "duration_ms"), _ms(good, "duration_ms")),
        Row("Tokens per second, median", _speed(olds), _speed(good)),
        Row("Tokens written, median", _tokens(olds), _tokens(good)),
        Row("Cost of a reply, median", _cost(olds), _cost(good)),
    ]
    pairs = [_pair(call, old.get(call.turn_id)) for call in calls]
    return rows, pairs


Measured = Attempt | ReplayedCall


def _pair(call: ReplayedCall, old: Attempt | None) -> Pair:
    return Pair(
        question=call.turn.question.content,
        old=call.turn.reply.content if call.turn.reply else "",
        new=call.text,
        problem=f"{call.error}: {call.error_detail}" if call.error else "",
        old_numbers=_numbers([old] if old else []),
        new_numbers=_numbers([call]),
    )


def _numbers(calls: Sequence[Measured]) -> str:
    parts = (_ms(calls, "ttft_ms"), _ms(calls, "duration_ms"), _cost(calls))
    return ", ".join(parts)


def _ms(calls: Sequence[Measured], name: str) -> str:
    values = [getattr(call, name) for call in calls]
    return formats.duration(_median(values))


def _tokens(calls: Sequence[Measured]) -> str:
    return formats.count(_median([call.completion_tokens for call in calls]))


def _speed(calls: Sequence[Measured]) -> str:
    return formats.rate(_median([call.tokens_per_s for call in calls]))


def _cost(calls: Sequence[Measured]) -> str:
    known = [call.cost_usd for call in calls if call.cost_usd is not None]
    if len(known) < len(calls):
        return "unpriced"
    return formats.usd(median(known)) if known else formats.NONE


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
