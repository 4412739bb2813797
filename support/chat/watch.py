"""Looks after the turns that this process answers, from one thread.

Every half second it asks the database which of them were stopped by the visitor or
taken by another worker, and cancels those; every few seconds it extends the leases
of the rest. A process that is frozen or killed extends nothing, so another worker
takes its turns over.

So does one that is asked for more than a turn may take: a thread can hang for ever, in
native code or where Python found no memory to start another, while this one lives.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, close_old_connections, connection

from inference.types import CancelToken
from support.chat import turns
from support.chat.patience import patience
from support.models import Turn

logger = logging.getLogger(__name__)

_LOOK_INTERVAL_S = 0.4


@dataclass(frozen=True, slots=True)
class _Held:
    """A turn that this process answers."""

    turn: Turn
    cancel: CancelToken
    since_s: float


class TurnWatch:
    """The watch of one process; its thread runs while there are turns to look after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[UUID, _Held] = {}
        self._suspected: set[UUID] = set()
        self._thread: threading.Thread | None = None
        self.is_leaving = False

    @contextmanager
    def looking_after(self, turn: Turn) -> Iterator[CancelToken]:
        """Keep a claimed turn's lease; its token is cancelled when it is unwanted.

        Not for longer than TURN_DEADLINE_S, in which every turn ends that can.
        """
        cancel = CancelToken()
        held = _Held(turn, cancel, monotonic())
        with self._lock:
            self._held[turn.id] = held
            if self.is_leaving:
                cancel.cancel()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="turn-watch", daemon=True
                )
                self._thread.start()
        try:
            yield cancel
        finally:
            with self._lock:
                # another thread of this process may have taken it over
                if self._held.get(turn.id) is held:
                    del self._held[turn.id]

    def leave(self) -> None:
        """Cancel everything, because this process ends: another one goes on with it."""
        patience.end()
        with self._lock:
            self.is_leaving = True
            held = list(self._held.values())
        for each in held:
            each.cancel.cancel()

    def give_back(self) -> list[Turn]:
        """Put the turns that are still held back into the queue; return them.

        Their threads did not heed the cancel. One query each.
        """
        with self._lock:
            turns_held = [each.turn for each in self._held.values()]
            self._held.clear()
        for turn in turns_held:
            turns.hand_over(turn)
        return turns_held

    def stay(self) -> None:
        """Answer again, after `leave`."""
        patience.begin()
        self.is_leaving = False

    def _run(self) -> None:
        extended_s = monotonic()
        pause = threading.Event()
        while not pause.wait(_LOOK_INTERVAL_S) and self._has_work():
            try:
                self._look()
                if monotonic() - extended_s > settings.TURN_LEASE_S / 3:
                    extended_s = monotonic()
                    self._let_go_of_stuck()
                    turns.extend_leases(self._attempts())
            except OperationalError as error:
                logger.error("the watch could not look: %s", error)
                close_old_connections()
            except Exception:
                # the edge of a thread: whatever it was, the leases must not run out
                logger.exception("the watch could not look")
                close_old_connections()
        connection.close()

    def _has_work(self) -> bool:
        """Return whether turns are held; forgets the thread, which ends, if not."""
        with self._lock:
            if not self._held:
                self._thread = None
            return bool(self._held)

    def _attempts(self) -> dict[UUID, int]:
        with self._lock:
            return {key: each.turn.attempt for key, each in self._held.items()}

    def _let_go_of_stuck(self) -> None:
        """Leave the turns to others whose thread should have ended them by now."""
        began_s = monotonic() - settings.TURN_DEADLINE_S
        with self._lock:
            stuck = [key for key, each in self._held.items() if each.since_s < began_s]
            for key in stuck:
                del self._held[key]
        for key in stuck:
            logger.error("turn=%s is stuck: another worker will take it over", key)

    def _look(self) -> None:
        """Cancel what was stopped, and what was lost at two looks in a row.

        Once is not enough: a reset changes the row a moment before our copy of it.
        """
        held = self._attempts()
        lost = turns.find_lost(held)
        unwanted = turns.find_stopped(held) | (lost & self._suspected)
        self._suspected = lost
        with self._lock:
            cancels = [self._held[key].cancel for key in unwanted if key in self._held]
        for cancel in cancels:
            cancel.cancel()


watch = TurnWatch()
