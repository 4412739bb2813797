"""Moves the stored keys of backends to the first of FIELD_ENCRYPTION_KEYS."""

from dataclasses import dataclass, field

from inference.fields import UnreadableSecret, is_under_first_key, seal, unseal
from inference.models import Backend
from inference.models.backend import shown_end


@dataclass(slots=True)
class Rotated:
    """How many keys were moved, were there already, or cannot be read by any key."""

    num_moved: int = 0
    num_current: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate_keys(batch: int = 100) -> Rotated:
    """Encrypt all stored keys anew where the first key did not encrypt them.

    Row by row, each a compare-and-swap: a key that is changed meanwhile stays as it
    was entered, and what is interrupted goes on where it was when it is run again.
    `batch` rows are read at a time. One query a batch and one a row that is moved.
    """
    rotated = Rotated()
    last_pk = 0
    while True:
        rows = list(
            Backend.objects.filter(pk__gt=last_pk)
            .exclude(key="")
            .order_by("pk")
            .values_list("pk", "name", "key")[:batch]
        )
        if not rows:
            return rotated
        for pk, name, sealed in rows:
            _rotate(rotated, pk, name, sealed)
        last_pk = rows[-1][0]


def _rotate(rotated: Rotated, pk: int, name: str, sealed: str) -> None:
    if is_under_first_key(sealed):
        rotated.num_current += 1
        return
    try:
        key = unseal(sealed)
    except UnreadableSecret:
        rotated.unreadable.append(name)
        return
    # the same row only while nobody has entered another key
    unchanged = Backend.objects.filter(pk=pk, key=sealed)
    rotated.num_moved += unchanged.update(key=seal(key), key_end=shown_end(key))
