"""One submitted request, as its thread sees it."""

import queue
from collections.abc import Callable

from inference.engine.wire import Finished, Text
from inference.errors import BackendError
from inference.types import CompletionRequest


class Ticket:
    """One submitted request: take its events, or cancel it.

    `fingerprint` is that of suspects.py. `is_held` while the host keeps it back from
    the engine. `is_warm_up` if nobody waits for it.
    """

    def __init__(
        self,
        key: str,
        request: CompletionRequest,
        fingerprint: str,
        cancel: Callable[[str], None],
        submitted_s: float,
    ) -> None:
        self.key = key
        self.request = request
        self.fingerprint = fingerprint
        self.submitted_s = submitted_s
        self.is_held = False
        self.is_warm_up = False
        self._pieces: list[str] = []
        self._cancel = cancel
        self._events: queue.SimpleQueue[Text | Finished | BackendError]
        self._events = queue.SimpleQueue()

    @property
    def text(self) -> str:
        """Return what has come of the reply."""
        return "".join(self._pieces)

    @property
    def has_text(self) -> bool:
        """Return whether some of the reply was handed over."""
        return bool(self._pieces)

    @property
    def name(self) -> str:
        """Return what logs call it: what the caller gave, or a part of the print."""
        return self.request.request_id or self.fingerprint[:12]

    def take(self) -> Text | Finished:
        """Wait for the next event; raises BackendError when there will be none.

        Always returns in the end: a child that dies or hangs fails its tickets.
        """
        event = self._events.get()
        if isinstance(event, BackendError):
            raise event
        return event

    def cancel(self) -> None:
        """Ask the engine to stop; `Finished` follows. Any thread may call this."""
        self._cancel(self.key)

    def put(self, event: Text | Finished | BackendError) -> None:
        """Hand over what happened; for the host."""
        if isinstance(event, Text):
            self._pieces.append(event.text)
        self._events.put(event)
