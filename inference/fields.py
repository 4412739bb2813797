"""A column that only this installation can read."""

from typing import Any, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

# marks what is sealed, so that a dump of the database can be loaded again
_PREFIX = "fernet:"


class UnreadableSecret(ValueError):  # noqa: N818 - says what happened, as errors.py
    """A stored text was sealed with a key that this installation does not have."""


class _SealedAttribute:
    """Holds the sealed text in the row, so that nothing prints it; reading opens it."""

    def __init__(self, field: "models.Field[Any, Any]") -> None:
        self._name = field.attname

    def __get__(self, row: models.Model | None, owner: type) -> Self | str:
        if row is None:
            return self
        if self._name not in row.__dict__:
            row.refresh_from_db(fields=[self._name])
        return unseal(row.__dict__[self._name])

    def __set__(self, row: models.Model, value: str) -> None:
        row.__dict__[self._name] = seal(value)


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]  # no [] at run time
    """Text that is encrypted in the database, in dumps, and in the row in memory.

    The first of FIELD_ENCRYPTION_KEYS encrypts, all decrypt; saving a row moves it to
    the first. Reading raises UnreadableSecret if none fits, as does `refresh_from_db`,
    which reads. A row that cannot be read loads and saves like any other, and keeps
    what it has. Cannot be searched for.
    """

    descriptor_class = _SealedAttribute

    def from_db_value(self, value: str, *_: object) -> str:
        """Return the sealed text; plain text that was put there stays unreadable."""
        return _PREFIX + value.removeprefix(_PREFIX) if value else value

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """Return the sealed text, under the first key if it can be read."""
        sealed = self.value_from_object(model_instance)
        try:
            return seal(unseal(sealed))
        except UnreadableSecret:
            return sealed

    def get_prep_value(self, value: str) -> str:
        """Return what the column holds."""
        return seal(value)

    def value_from_object(self, obj: models.Model) -> str:
        """Return the sealed text: what forms and dumps get to see."""
        return str(obj.__dict__.get(self.attname, ""))


def seal(text: str) -> str:
    """Return the text encrypted; what is empty or sealed already stays as it is."""
    if not text or text.startswith(_PREFIX):
        return text
    return _PREFIX + _fernets().encrypt(text.encode()).decode()


def is_under_first_key(sealed: str) -> bool:
    """Return whether a sealed text can be read with the first key alone."""
    try:
        _fernets(first_only=True).decrypt(sealed.removeprefix(_PREFIX))
    except (InvalidToken, ValueError):
        return False
    return True


def unseal(sealed: str) -> str:
    """Return the text that was sealed; raises UnreadableSecret."""
    if not sealed:
        return ""
    fernets = _fernets()
    try:
        return fernets.decrypt(sealed.removeprefix(_PREFIX)).decode()
    except (InvalidToken, ValueError):  # the second if it is not even a token
        raise UnreadableSecret(
            "the stored key was encrypted with none of FIELD_ENCRYPTION_KEYS; "
            "bring the old one back, or enter the key again"
        ) from None


def _fernets(first_only: bool = False) -> MultiFernet:
    keys = settings.FIELD_ENCRYPTION_KEYS
    return MultiFernet([Fernet(key) for key in (keys[:1] if first_only else keys)])
