"""Runs Python that others wrote, such as a model's template, for a bounded while.

A count of lines rather than a clock: it ends in the same place on a busy machine, on
any thread. What one line does inside C is not bounded by it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class LeashEnded(Exception):  # noqa: N818 - says what happened, as in errors.py
    """The code ran for more lines than it was given."""


@contextmanager
def leash(num_lines: int) -> Iterator[None]:
    """Raise LeashEnded in what is called inside once it ran `num_lines` lines.

    Counts this thread only. Costs about a microsecond a line.
    """
    num_left = num_lines

    def watch(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal num_left
        if event == "line":
            num_left -= 1
            if num_left < 0:
                raise LeashEnded(f"it ran for more than {num_lines} lines")
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
