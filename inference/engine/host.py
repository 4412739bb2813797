"""The engine as seen from the application: a child process that is kept alive.

Many threads submit requests; one supervising thread reads what comes back, notices
a child that died or hangs, fails its requests at once and starts the next child,
after a growing pause if it keeps dying.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from inference.engine.black_box import Moment
from inference.engine.child_process import ChildProcess
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.reception import Reception
from inference.engine.suspects import Involved
from inference.engine.ticket import Ticket
from inference.engine.wire import (
    Cancel,
    Event,
    Finished,
    Loaded,
    LoadFailed,
    Order,
    Refused,
    Submit,
    Text,
)
from inference.engine_stats import EngineStats
from inference.errors import BackendError, Unavailable
from inference.types import Completion, CompletionRequest, FinishReason, Usage

logger = logging.getLogger(__name__)


class HostState(Enum):
    """Whether requests can be submitted."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"


class EngineHost:
    """Keeps one engine process running. Threads may share it; forks may not."""

    def __init__(self, config: EngineConfig, policy: HostPolicy | None = None) -> None:
        self.config = config
        self._policy = policy or HostPolicy()
        self._changed = threading.Condition()
        self._state = HostState.STOPPED
        self._why_broken = ""
        self._loaded: Loaded | None = None
        self._stats = EngineStats()
        self._reception = Reception(config, self._policy)
        self._warm_requests: tuple[CompletionRequest, ...] = ()
        self._cold: deque[CompletionRequest] = deque()  # of these, not read yet
        self._child: ChildProcess | None = None
        self._is_closing = threading.Event()
        self._supervisor: threading.Thread | None = None
        self.num_starts = 0

    def start(self) -> None:
        """Start the child, and a daemon thread that looks after it; once."""
        with self._changed:
            if self._supervisor is not None or self._is_closing.is_set():
                return
            self._state = HostState.LOADING
            self._supervisor = threading.Thread(
                target=self._supervise, name="engine-host", daemon=True
            )
        self._supervisor.start()

    def close(self) -> None:
        """Stop the child for good; requests in flight fail. May be called twice."""
        self._is_closing.set()
        with self._changed:
            child, supervisor = self._child, self._supervisor
        if child is not None:
            child.hang_up()
        if supervisor is not None and supervisor is not threading.current_thread():
            supervisor.join(self._policy.close_s * 2)

    @property
    def state(self) -> HostState:
        """Return whether requests can be submitted."""
        return self._state

    @property
    def why_broken(self) -> str:
        """Return why the model cannot be used; empty unless the state is broken."""
        return self._why_broken

    @property
    def loaded(self) -> Loaded | None:
        """Return what the child said of the model, None before the first load."""
        return self._loaded

    @property
    def pid(self) -> int | None:
        """Return the process id of the running child."""
        child = self._child
        return None if child is None else child.pid

    @property
    def num_requests(self) -> int:
        """Return how many requests are waiting or running."""
        return self._reception.num_requests

    @property
    def is_full(self) -> bool:
        """Return whether a request now would be refused for lack of room."""
        return self._reception.is_full

    def read_stats(self) -> EngineStats:
        """Return the child's latest figures, about a second old at most."""
        return replace(
            self._stats,
            num_restarts=max(self.num_starts - 1, 0),
            num_poisonous=self._reception.suspects.num_culprits,
        )

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Wait for the model; False if it is not ready in time or cannot be used."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._state is not HostState.LOADING, timeout_s
            )
            return self._state is HostState.READY

    def predict_ttft_s(self, request: CompletionRequest) -> float | None:
        """Return in how many seconds a request's first token would come, asked now.

        None if that is not known yet, or nothing can be submitted.
        """
        with self._changed:
            if self._state is not HostState.READY:
                return None
            return self._reception.predict_s(request)

    def warm(self, requests: Sequence[CompletionRequest]) -> None:
        """Have the engine read these prompts when it is idle, and after each start.

        What other prompts begin with is in its cache then. Replaces earlier ones.
        """
        with self._changed:
            read = [one for one in self._warm_requests if one not in self._cold]
            self._cold = deque(one for one in requests if one not in read)
            self._warm_requests = tuple(requests)
        self._warm_up()

    def submit(
        self, request: CompletionRequest, first_token_s: float | None = None
    ) -> Ticket:
        """Queue a request that wants its first token within `first_token_s`.

        Raises Unavailable when not ready, Overloaded when the queue is full or the
        first token would come too late (an idle engine tries), Poisonous if the engine
        died of this request twice.
        """
        return self._submit(request, first_token_s)

    def _submit(
        self,
        request: CompletionRequest,
        first_token_s: float | None,
        is_warm_up: bool = False,
    ) -> Ticket:
        with self._changed:
            child = self._child
            if child is None or self._state is not HostState.READY:
                raise Unavailable(self._why_broken or f"engine is {self._state.value}")
            ticket = self._reception.admit(
                request, first_token_s, self.cancel, is_warm_up
            )
        if ticket.is_held:
            self._let_in()
        else:
            self._send(child, Submit(ticket.key, request))
        return ticket

    def cancel(self, key: str) -> None:
        """Ask the child to stop a request; nothing happens if it is over."""
        with self._changed:
            child, ticket = self._child, self._reception.find(key)
            if child is None or ticket is None:
                return
            if ticket.is_held:
                model = self._loaded.model if self._loaded else ""
                nothing = Completion(FinishReason.CANCELLED, Usage(0, 0), model)
                # within the lock: it must not be let in meanwhile
                self._end_ticket(Finished(key, nothing))
                return
        self._send(child, Cancel(key))

    def _send(self, child: ChildProcess, order: Order) -> None:
        """Send an order; a child that cannot be reached is killed, which fails all."""
        try:
            child.send(order)
        except OSError:
            logger.warning("the engine process %d does not take orders", child.pid)
            child.kill()

    def _let_in(self) -> None:
        """Send a request that was held back, if it may have the engine to itself."""
        with self._changed:
            if self._child is None or (ticket := self._reception.choose_held()) is None:
                return
            # within the lock: a cancel must come after it
            self._send(self._child, Submit(ticket.key, ticket.request))

    def _supervise(self) -> None:
        num_deaths = 0
        while not self._is_closing.is_set():
            started_s = time.monotonic()
            try:
                why = self._run_child()
            except OSError as error:  # no process, or no memory for one
                why = f"it cannot be started: {error}"
            if self._is_closing.is_set():
                break
            if time.monotonic() - started_s >= self._policy.healthy_s:
                num_deaths = 0
            pause_s = self._choose_pause_s(num_deaths)
            num_deaths += 1
            logger.error("engine stopped: %s; starts again in %.1f s", why, pause_s)
            self._is_closing.wait(pause_s)
        self._set_state(HostState.STOPPED)

    def _choose_pause_s(self, num_deaths: int) -> float:
        if self._state is HostState.BROKEN:
            return self._policy.max_pause_s
        if num_deaths == 0:
            return 0.0
        pause_s = self._policy.pause_s * 2.0 ** min(num_deaths - 1, 16)
        return min(pause_s, self._policy.max_pause_s)

    def _run_child(self) -> str:
        """Start a child and read its events until it ends; return why it did."""
        with ChildProcess.started(self.config, self._policy) as child:
            self._welcome(child)
            try:
                why = self._read_events(child)
            except Exception as error:  # its requests must end, whatever it is
                why = f"{type(error).__name__}: {error}"
            involved = self._lose_child(child, why)
        with self._changed:
            is_from_outside = child.is_killed_from_outside
            self._reception.suspects.note_death(involved, is_from_outside)
        return f"{why} ({child.describe_end()})"

    def _welcome(self, child: ChildProcess) -> None:
        with self._changed:
            self._child = child
            self.num_starts += 1
        if self._is_closing.is_set():
            child.hang_up()

    def _lose_child(self, child: ChildProcess, why: str) -> list[Involved]:
        """Fail its requests at once, before it is waited for.

        Return those that it may have died of, none if the culprit is known.
        """
        moment = child.read_black_box()
        if self._is_closing.is_set():
            moment = Moment()
        with self._changed:
            self._child, self._stats = None, EngineStats()
            if self._state is HostState.READY:
                self._set_state(HostState.LOADING)
            return self._reception.lose_all(moment, why)

    def _read_events(self, child: ChildProcess) -> str:
        for event in child.events():
            if isinstance(event, LoadFailed):
                self._break(event.reason)
                return event.reason
            if isinstance(event, EngineStats):
                if why := self._judge(event):
                    return why
                self._let_in()
            else:
                self._pass_on(child, event)
        return "the process ended"

    def _judge(self, stats: EngineStats) -> str:
        """Return why the child cannot go on like this; empty if it can.

        A step must be too long twice in a row: after a pause of the whole machine one
        seems to have taken that long, and ends.
        """
        with self._changed:
            before, self._stats = self._stats, stats
            self._reception.forecast.note_stats(stats)
        if min(before.step_s, stats.step_s) > self._policy.step_s:
            return f"one step took {stats.step_s:.0f} s"
        limit_bytes = self.config.memory_limit_bytes
        if limit_bytes is None or stats.own_bytes <= limit_bytes:
            return ""
        why = (
            f"it used {stats.own_bytes / 1e6:.0f} MB of memory, more than the"
            f" {limit_bytes / 1e6:.0f} MB of memory_limit_bytes"
        )
        if self._state is not HostState.READY:
            self._break(why)
        return why

    def _pass_on(self, child: ChildProcess, event: Event) -> None:
        if isinstance(event, Loaded):
            logger.info(
                "engine ready model=%s template=%s limit_tokens=%d cells=%d",
                event.model,
                event.template,
                event.limit_tokens,
                event.num_cells,
            )
            child.patience_s = self._policy.silence_s
            self._loaded, self._why_broken = event, ""
            with self._changed:
                self._cold = deque(self._warm_requests)
            self._set_state(HostState.READY)
            self._warm_up()
        elif isinstance(event, Text):
            with self._changed:
                ticket = self._reception.find(event.key)
                if ticket is not None:
                    self._reception.note_text(ticket)
                    ticket.put(event)
        elif isinstance(event, Finished | Refused):
            self._end_ticket(event)

    def _warm_up(self) -> None:
        """Have the next prompt read that nobody waits for, if the engine is idle.

        One at a time, so that a visitor waits for one of them at most.
        """
        with self._changed:
            while self._cold and not self._reception.num_requests:
                if self._state is not HostState.READY:
                    return
                try:
                    self._submit(self._cold.popleft(), None, is_warm_up=True)
                except BackendError as error:
                    logger.warning("the engine could not be warmed up: %s", error)

    def _end_ticket(self, event: Finished | Refused) -> None:
        with self._changed:
            ticket = self._reception.end(event)
        if ticket is not None:
            ticket.put(event.error if isinstance(event, Refused) else event)
            self._let_in()
            self._warm_up()

    def _break(self, why: str) -> None:
        self._why_broken = why
        self._set_state(HostState.BROKEN)

    def _set_state(self, state: HostState) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()
