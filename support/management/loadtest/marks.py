"""Words that stand in one conversation only, so that foreign text is recognised.

A mark is fourteen letters: no digits, which a careful server would take for an
invented number, and all of one length, so that none is a part of another.
"""

import re
import secrets
import string

MARK_PATTERN = re.compile(r"zqx[a-z]{11}", re.IGNORECASE)

_LETTERS = string.ascii_lowercase
_RUN_LETTERS = 5
_NUMBER_LETTERS = 6


def choose_run() -> str:
    """Return letters that tell this run from others on the same server."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_RUN_LETTERS))


def build_mark(run: str, number: int) -> str:
    """Return the mark of a run's conversation `number`, below 26 ** 6."""
    letters = ""
    for _ in range(_NUMBER_LETTERS):
        number, digit = divmod(number, len(_LETTERS))
        letters += _LETTERS[digit]
    if number or len(run) != _RUN_LETTERS:
        raise ValueError("no mark for that run and number")
    return f"zqx{run}{letters}"


def find_foreign(text: str, own: str) -> set[str]:
    """Return the marks in a text that are not `own`, in lower case."""
    return {mark.lower() for mark in MARK_PATTERN.findall(text)} - {own}
