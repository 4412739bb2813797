"""Which request the engine dies of, told apart from those that were beside it.

Every request in the fatal piece of work is counted, or, where prompts were read in it,
only those: what was written for a while is less likely to be the cause. From the second
try on they run one at a time (host.py), so a second death has one culprit. A death
from outside, as by `kill -9` or for want of memory on the machine, sets nobody apart:
then those that were beside each other stay so, and only one that was hit twice while no
other such was there is blamed. A suspect that wrote on past the place of its last death
may have others beside it; what comes then is blamed on one that is not so far.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from inference.types import CompletionRequest

Value = TypeVar("Value")

_MAX_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Involved:
    """A request of the fatal piece of work; `num_shown` characters had come of it."""

    fingerprint: str
    is_reading: bool = False
    num_shown: int = 0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A request that the engine died with.

    It is past the fatal place when more than `num_shown` characters have come of it.
    """

    num_deaths: int = 0
    is_apart: bool = False
    num_shown: int = 0


class Suspects:
    """What is known of requests that the engine died with. Not shared by threads."""

    def __init__(self) -> None:
        self._suspects: OrderedDict[str, Suspect] = OrderedDict()
        self._culprits: OrderedDict[str, None] = OrderedDict()

    @property
    def num_culprits(self) -> int:
        """Return how many requests are known that the engine died of twice."""
        return len(self._culprits)

    def is_culprit(self, fingerprint: str) -> bool:
        """Return whether the engine died twice of a request."""
        return fingerprint in self._culprits

    def is_apart(self, fingerprint: str, num_shown: int = 0) -> bool:
        """Return whether a request is to run apart from others like it.

        So it is until it is past the place where the engine died.
        """
        suspect = self._suspects.get(fingerprint)
        return (
            suspect is not None and suspect.is_apart and num_shown <= suspect.num_shown
        )

    def convict(self, involved: Iterable[Involved]) -> str | None:
        """Return the one of a fatal piece of work that the engine died with before.

        None, and nothing is noted, if there is no such or more than one.
        """
        again = {one.fingerprint for one in self._find_again(involved)}
        if len(again) != 1:
            return None
        culprit = again.pop()
        del self._suspects[culprit]
        _remember(self._culprits, culprit, None)
        return culprit

    def note_death(self, involved: Sequence[Involved], is_from_outside: bool) -> None:
        """Count a death for all who may be its cause; nobody was convicted of it."""
        again = self._find_again(involved)
        reading = [one for one in involved if one.is_reading]
        for one in again or reading or involved:
            known = self._suspects.get(one.fingerprint, Suspect())
            changed = replace(
                known,
                num_deaths=known.num_deaths + 1,
                is_apart=known.is_apart or bool(again) or not is_from_outside,
                num_shown=max(known.num_shown, one.num_shown),
            )
            _remember(self._suspects, one.fingerprint, changed)

    def _find_again(self, involved: Iterable[Involved]) -> list[Involved]:
        """Return the suspects among them; those past their place only if all are."""
        known = [one for one in involved if one.fingerprint in self._suspects]
        not_past = [
            one
            for one in known
            if one.num_shown <= self._suspects[one.fingerprint].num_shown
        ]
        return not_past or known

    def acquit(self, fingerprint: str) -> None:
        """Forget what is held against a request: it was answered."""
        self._suspects.pop(fingerprint, None)


def build_fingerprint(request: CompletionRequest) -> str:
    """Return what is equal for requests that make the engine do the same.

    Nothing of the request can be read from it.
    """
    same = replace(request, request_id="")
    text = repr(same).encode(errors="replace")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _remember(known: OrderedDict[str, Value], key: str, value: Value) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > _MAX_REMEMBERED:
        known.popitem(last=False)
