"""Who may be asked, and in which order: the operator's rules, as pure functions.

1. What leaves the house is left out of private conversations, and of all while the
   cloud is off.
2. The backend that a conversation stays with comes first.
3. A candidate on trial gets its share of the new conversations, and comes last in all
   others.
4. The rest follow by position; those at the same position share new conversations by
   weight, by a hash of the conversation, so that it is the same each time.
"""

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Generic, TypeVar

from inference.routing.plan import Asker, Option
from inference.routing.words import join_names

AnyOption = TypeVar("AnyOption", bound=Option)


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate that gets a share of the new conversations."""

    candidate: str
    share_percent: float


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's switches, as they count for every request.

    Conversations do not stay with those that are `distrusted`: their trial failed.
    """

    is_cloud_off: bool = False
    trial: Trial | None = None
    distrusted: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Ranking(Generic[AnyOption]):
    """Options in the order of asking, and why the first is the first."""

    options: tuple[AnyOption, ...]
    why_first: str = ""


def why_forbidden(option: Option, asker: Asker, rules: Rules) -> str:
    """Return why a backend must not be asked, empty if it may be."""
    if not option.leaves_house:
        return ""
    if rules.is_cloud_off:
        return "nothing may leave the house"
    return "the conversation is private" if asker.is_private else ""


def rank(
    options: Iterable[AnyOption], asker: Asker, rules: Rules
) -> Ranking[AnyOption]:
    """Return the options in the order of asking. They are all allowed."""
    ordered = sorted(options, key=lambda one: (one.position, one.name))
    if not ordered:
        return Ranking(())
    pinned = [one for one in ordered if one.name == asker.pinned]
    if pinned and asker.pinned not in rules.distrusted:
        return _put_first(ordered, pinned[0], "the conversation stays with it")
    trial = rules.trial
    tried = [one for one in ordered if trial and one.name == trial.candidate]
    if trial and tried and is_in_share(asker.conversation, trial):
        share = f"{trial.share_percent:g} % of new conversations"
        return _put_first(ordered, tried[0], f"it is on trial with {share}")
    rest = [one for one in ordered if one not in tried]
    if not rest:
        return Ranking(tuple(tried), "there is no other")
    shared = _share_out(rest, asker.conversation)
    return Ranking((*shared, *tried), _why_first(shared))


def put_before(
    ranking: Ranking[AnyOption], names: Collection[str], why: str
) -> Ranking[AnyOption]:
    """Return a ranking with those named before the others, `why` if there are any."""
    named = [one for one in ranking.options if one.name in names]
    others = [one for one in ranking.options if one.name not in names]
    return Ranking((*named, *others), why) if named else ranking


def is_in_share(conversation: str, trial: Trial) -> bool:
    """Return whether a new conversation is one of those that try a candidate."""
    return _hash(conversation, "trial", trial.candidate) * 100 < trial.share_percent


def _put_first(
    options: Sequence[AnyOption], first: AnyOption, why: str
) -> Ranking[AnyOption]:
    others = [one for one in options if one is not first]
    return Ranking((first, *others), why)


def _share_out(options: Sequence[AnyOption], conversation: str) -> list[AnyOption]:
    """Return the options by position, those at the same one as the hash has them."""
    return [
        one
        for _, group in groupby(options, key=lambda one: one.position)
        for one in sorted(group, key=lambda one: _draw(one, conversation))
    ]


def _draw(option: Option, conversation: str) -> tuple[float, str]:
    """Return a lot: the smallest wins, each option in proportion to its weight.

    By rendezvous hashing: an option that comes or goes moves no conversation between
    the others.
    """
    if option.weight <= 0:
        return math.inf, option.name
    chance = _hash(conversation, "share", option.name)
    return -math.log(1 - chance) / option.weight, option.name


def _why_first(options: Sequence[Option]) -> str:
    first = options[0]
    others = [one.name for one in options[1:] if one.position == first.position]
    if others:
        return f"it shares new conversations with {join_names(others)}"
    return "it comes first in the order"


def _hash(*texts: str) -> float:
    """Return a number in [0, 1) that is always the same for the same texts."""
    digest = hashlib.sha256("\0".join(texts).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
