"""Which requests the engine has, and whether another may come: the host's books.

Nothing here talks to a process or waits; the host holds its lock around each call.
"""

import itertools
import logging
import time
from collections.abc import Callable

from inference.engine.black_box import Moment
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.forecast import Forecast
from inference.engine.suspects import Involved, Suspects, build_fingerprint
from inference.engine.ticket import Ticket
from inference.engine.wire import Finished, Refused
from inference.errors import (
    BackendError,
    Interrupted,
    Overloaded,
    Poisonous,
    Unavailable,
)
from inference.types import CompletionRequest, FinishReason

logger = logging.getLogger(__name__)

# However late one would come, after so long without another it is let in: what is
# foreseen is learned from those that are.
_PROBE_S = 10.0


class Reception:
    """The tickets of the requests that wait or run, and what is foreseen of them.

    `suspects` remembers whom engines died of, `forecast` knows when prompts are read.
    """

    def __init__(
        self,
        config: EngineConfig,
        policy: HostPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = config.max_sequences + config.max_waiting
        self._apart_s = policy.apart_s
        self._clock = clock
        self._keys = itertools.count(1)
        self._tickets: dict[str, Ticket] = {}
        self._let_in_s = 0.0
        self.suspects = Suspects()
        self.forecast = Forecast(config.max_sequences, config.num_cells)

    @property
    def num_requests(self) -> int:
        """Return how many requests are waiting or running."""
        return len(self._tickets)

    @property
    def is_full(self) -> bool:
        """Return whether a request now would be refused."""
        return self._num_awaited >= self._limit

    @property
    def _num_awaited(self) -> int:
        """How many requests somebody waits for."""
        return sum(not ticket.is_warm_up for ticket in self._tickets.values())

    def find(self, key: str) -> Ticket | None:
        """Return the ticket of a request that is not over."""
        return self._tickets.get(key)

    def admit(
        self,
        request: CompletionRequest,
        first_token_s: float | None,
        cancel: Callable[[str], None],
        is_warm_up: bool = False,
    ) -> Ticket:
        """Return a new ticket; `is_held` if the request may not be sent yet.

        Raises Overloaded or Poisonous.
        """
        fingerprint = build_fingerprint(request)
        now_s = self._clock()
        ticket = Ticket(str(next(self._keys)), request, fingerprint, cancel, now_s)
        if self.suspects.is_culprit(fingerprint):
            raise Poisonous(_describe_poison(ticket))
        self._check_room(request, first_token_s)
        ticket.is_held = self.suspects.is_apart(fingerprint)
        ticket.is_warm_up = is_warm_up
        self._let_in_s = now_s
        self._tickets[ticket.key] = ticket
        self.forecast.begin(ticket.key, request, now_s)
        return ticket

    def predict_s(self, request: CompletionRequest) -> float | None:
        """Return in how many seconds a first token would come; None if not known."""
        return self.forecast.predict_s(request, self._clock())

    def choose_held(self) -> Ticket | None:
        """Return the next request that was held and may be sent now, if there is one.

        Not while another that is to run apart is there, and beside any only after it
        waited for `apart_s`.
        """
        held = [ticket for ticket in self._tickets.values() if ticket.is_held]
        if not held:
            return None
        others = [ticket for ticket in self._tickets.values() if not ticket.is_held]
        if any(
            self.suspects.is_apart(one.fingerprint, len(one.text)) for one in others
        ):
            return None
        if others and self._clock() - held[0].submitted_s < self._apart_s:
            return None
        held[0].is_held = False
        return held[0]

    def note_text(self, ticket: Ticket) -> None:
        """Note that text has come of a request, before it is handed over."""
        if not ticket.has_text:
            self.forecast.note_text(ticket.key, self._clock())

    def end(self, event: Finished | Refused) -> Ticket | None:
        """Return the ticket of a request that is over; None if it was before."""
        ticket = self._tickets.pop(event.key, None)
        if ticket is None:
            return None
        now_s = self._clock()
        completion = event.completion if isinstance(event, Finished) else None
        if completion and completion.finish_reason is not FinishReason.CANCELLED:
            self.suspects.acquit(ticket.fingerprint)
            self.forecast.learn(event.key, now_s, completion, ticket.text)
        self.forecast.end(event.key, now_s)
        return ticket

    def lose_all(self, moment: Moment, why: str) -> list[Involved]:
        """Fail all requests, whose engine died in the work of `moment`.

        Return those that it may have died of, none if the culprit is known now.
        """
        tickets, self._tickets = self._tickets, {}
        self.forecast.reset()
        involved = [
            Involved(one.fingerprint, key in moment.reading, len(one.text))
            for key in moment.keys
            if (one := tickets.get(key))
        ]
        culprit = self.suspects.convict(involved)
        for ticket in tickets.values():
            ticket.put(_build_error(ticket, culprit, why))
        return [] if culprit else involved

    def _check_room(
        self, request: CompletionRequest, first_token_s: float | None
    ) -> None:
        """Raise Overloaded if a request would wait in vain; an idle engine tries.

        So does one that let nobody in for 10 s, unless its queue is full.
        """
        if not self._num_awaited:
            return
        ttft_s = self.predict_s(request)
        if self.is_full:
            raise Overloaded(
                f"{len(self._tickets)} requests wait for the engine or run in it",
                retry_after_s=round(ttft_s or 1.0, 1),
            )
        if self._clock() - self._let_in_s > _PROBE_S:
            return
        if first_token_s is not None and ttft_s is not None and ttft_s > first_token_s:
            raise Overloaded(
                f"the first token would come after {ttft_s:.1f} s, and is wanted"
                f" within {first_token_s:.1f} s",
                retry_after_s=round(ttft_s - first_token_s, 1),
            )


def _build_error(ticket: Ticket, culprit: str | None, why: str) -> BackendError:
    """Return what a request is told whose engine died; names the culprit in the log."""
    if ticket.fingerprint == culprit:
        logger.error(
            "request=%s is refused from now on: the engine died twice while it was"
            " computed, now because %s",
            ticket.name,
            why,
        )
        return Poisonous(_describe_poison(ticket))
    kind = Interrupted if ticket.has_text else Unavailable
    error = kind(f"the engine stopped: {why}")
    error.is_others_fault = culprit is not None
    return error


def _describe_poison(ticket: Ticket) -> str:
    return f"the engine died twice while it computed request {ticket.name}"
