"""The workers' Celery application with places at which it can be told to die.

    celery -A tests.faults.deadly worker ...

It is the project's own; only where a reply passes one of the places of `points.py`
this looks into the file named by FAULT_FILE. If the place stands there the process is
killed as by SIGKILL from outside: nothing is flushed, closed or said. The file is used
up by that, but for `poison WORD`, which kills with every question that has the word.
`hang` before a place keeps the thread there for ever instead.
"""

import functools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from celery.signals import worker_init

from chatbot.celery import app

django.setup()

from support.chat import answering, turns  # noqa: E402 - Django must be set up
from support.chat.reply_writer import ReplyWriter  # noqa: E402
from support.models import Role  # noqa: E402
from tests.faults import points  # noqa: E402

__all__ = ["app"]

_FILE = Path(os.environ["FAULT_FILE"])


@worker_init.connect  # type: ignore[untyped-decorator]  # celery has no types
def place_points(**_: object) -> None:
    """Wrap what a reply passes through, in the order in which it does."""
    answering.build_question = _dying_before(
        points.CLAIMED, answering.build_question, _die_of_poison
    )
    ReplyWriter.flush = _dying_before(  # type: ignore[method-assign]
        points.STREAMING, ReplyWriter.flush, lambda writer: len(writer.text) > 40
    )
    turns.finish = _dying_before(points.WRITTEN, turns.finish)
    turns.append_message = _dying_after(points.STORED, turns.append_message)
    turns._announce_end = _dying_before(points.COMMITTED, turns._announce_end)
    turns.next_queued = _dying_before(points.ANNOUNCED, turns.next_queued)


def _dying_before(
    point: str, function: Callable[..., Any], is_time: Callable[..., bool] | None = None
) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if is_time is None or is_time(*arguments):
            _die_at(point)
        return function(*arguments, **named)

    return wrapped


def _dying_after(point: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(conversation: Any, role: Role, *arguments: Any, **named: Any) -> Any:
        result = function(conversation, role, *arguments, **named)
        if role == Role.ASSISTANT:
            _die_at(point)
        return result

    return wrapped


def _die_of_poison(turn: Any) -> bool:
    words = _read().split()
    if words[:1] == [points.POISON] and words[1] in turn.question.content:
        os.kill(os.getpid(), signal.SIGKILL)
    return True


def _die_at(point: str) -> None:
    told = _read()
    if told not in (point, f"{points.HANG} {point}"):
        return
    try:
        _FILE.unlink()  # one thread of all
    except FileNotFoundError:
        return
    if told != point:
        threading.Event().wait()
    os.kill(os.getpid(), signal.SIGKILL)


def _read() -> str:
    try:
        return _FILE.read_text()
    except FileNotFoundError:
        return ""
