"""The engine as seen from the application: a child process that is kept alive.

Many threads submit requests; one supervising thread reads what comes back, notices
a child that died or hangs, fails its requests at once and starts the next child,
after a growing pause if it keeps dying.
"""

import itertools
import logging
import queue
import threading
import time
from enum import Enum

from inference.engine.child_process import ChildProcess
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.wire import (
    Cancel,
    EngineStats,
    Event,
    Finished,
    Loaded,
    LoadFailed,
    Order,
    Refused,
    Submit,
    Text,
)
from inference.errors import BackendError, Interrupted, Overloaded, Unavailable
from inference.types import CompletionRequest

logger = logging.getLogger(__name__)


class HostState(Enum):
    """Whether requests can be submitted."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"


class Ticket:
    """One submitted request: take its events, or cancel it."""

    def __init__(self, key: str, host: "EngineHost") -> None:
        self.key = key
        self._host = host
        self._events: queue.SimpleQueue[Text | Finished | BackendError]
        self._events = queue.SimpleQueue()
        self.submitted_s = time.monotonic()
        self.has_text = False

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
        self._host.cancel(self.key)

    def put(self, event: Text | Finished | BackendError) -> None:
        """Hand over what happened; for the host."""
        self.has_text = self.has_text or isinstance(event, Text)
        self._events.put(event)


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
        self._tickets: dict[str, Ticket] = {}
        self._keys = itertools.count(1)
        self._mean_duration_s = 1.0
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
        return len(self._tickets)

    @property
    def is_full(self) -> bool:
        """Return whether a request now would be refused."""
        limit = self.config.max_sequences + self.config.max_waiting
        return len(self._tickets) >= limit

    def read_stats(self) -> EngineStats:
        """Return the child's latest figures, about a second old at most."""
        return self._stats

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Wait for the model; False if it is not ready in time or cannot be used."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._state is not HostState.LOADING, timeout_s
            )
            return self._state is HostState.READY

    def submit(self, request: CompletionRequest) -> Ticket:
        """Queue a request; raises Unavailable when not ready, Overloaded when full."""
        with self._changed:
            child = self._child
            if child is None or self._state is not HostState.READY:
                raise Unavailable(self._why_broken or f"engine is {self._state.value}")
            if self.is_full:
                raise Overloaded(
                    f"{len(self._tickets)} requests wait for the engine or run in it",
                    retry_after_s=round(self._estimate_wait_s(), 1),
                )
            ticket = Ticket(str(next(self._keys)), self)
            self._tickets[ticket.key] = ticket
        self._send(child, Submit(ticket.key, request))
        return ticket

    def cancel(self, key: str) -> None:
        """Ask the child to stop a request; nothing happens if it is over."""
        child = self._child
        if child is not None and key in self._tickets:
            self._send(child, Cancel(key))

    def _estimate_wait_s(self) -> float:
        return self._mean_duration_s * len(self._tickets) / self.config.max_sequences

    def _send(self, child: ChildProcess, order: Order) -> None:
        """Send an order; a child that cannot be reached is killed, which fails all."""
        try:
            child.send(order)
        except OSError:
            logger.warning("the engine process %d does not take orders", child.pid)
            child.kill()

    def _supervise(self) -> None:
        num_deaths = 0
        while not self._is_closing.is_set():
            started_s = time.monotonic()
            why = self._run_child()
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
            except (OSError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
            self._lose_child(why)
        return f"{why} ({child.describe_end()})"

    def _welcome(self, child: ChildProcess) -> None:
        with self._changed:
            self._child = child
            self.num_starts += 1
        if self._is_closing.is_set():
            child.hang_up()

    def _lose_child(self, why: str) -> None:
        """Fail its requests at once, before it is waited for."""
        with self._changed:
            self._child = None
            if self._state is HostState.READY:
                self._set_state(HostState.LOADING)
            tickets, self._tickets = self._tickets, {}
        for ticket in tickets.values():
            error = Interrupted if ticket.has_text else Unavailable
            ticket.put(error(f"the engine stopped: {why}"))

    def _read_events(self, child: ChildProcess) -> str:
        for event in child.events():
            if isinstance(event, LoadFailed):
                self._why_broken = event.reason
                self._set_state(HostState.BROKEN)
                return event.reason
            if isinstance(event, EngineStats):
                self._stats = event
                if event.step_s > self._policy.step_s:
                    return f"one step took {event.step_s:.0f} s"
            else:
                self._pass_on(event)
        return "the process ended"

    def _pass_on(self, event: Event) -> None:
        if isinstance(event, Loaded):
            logger.info(
                "engine ready model=%s template=%s limit_tokens=%d cells=%d",
                event.model,
                event.template,
                event.limit_tokens,
                event.num_cells,
            )
            self._loaded, self._why_broken = event, ""
            self._set_state(HostState.READY)
        elif isinstance(event, Text):
            if (ticket := self._tickets.get(event.key)) is not None:
                ticket.put(event)
        elif isinstance(event, Finished | Refused):
            self._end_ticket(event)

    def _end_ticket(self, event: Finished | Refused) -> None:
        with self._changed:
            ticket = self._tickets.pop(event.key, None)
        if ticket is None:
            return
        if isinstance(event, Refused):
            ticket.put(event.error)
            return
        duration_s = time.monotonic() - ticket.submitted_s
        self._mean_duration_s += 0.1 * (duration_s - self._mean_duration_s)
        ticket.put(event)

    def _set_state(self, state: HostState) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()
