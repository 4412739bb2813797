"""Calls that play a timed script on a clock that only they move."""

from collections.abc import Sequence

from inference.backends.base import Backend
from inference.errors import BackendError
from inference.routing.call import Arrival, StreamEnd
from inference.types import Completion, Delta, FinishReason, Usage

DONE = Completion(FinishReason.STOP, Usage(5, 2), "model")
END = StreamEnd()
FOREVER = 1e9

Event = tuple[float, Delta | Completion | BackendError | StreamEnd]


class ScriptedClock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


class NamedBackend(Backend):
    """A name to route to; what it answers stands in `ScriptedCalls`."""

    def __init__(self, name, ready=True, full=False):
        self.name = name
        self.model = f"{name}-model"
        self.ready = ready
        self.full = full

    def is_ready(self):
        return self.ready

    def is_full(self):
        return self.full

    def stream(self, request, deadlines, cancel):
        raise AssertionError("scripted calls are opened instead")


class ScriptedCall:
    """Arrivals with the pause before each; taking one moves the clock."""

    def __init__(self, clock: ScriptedClock, events: Sequence[Event]):
        self._clock = clock
        self._events = list(events)
        self._next_s = clock() + self._events[0][0] if events else FOREVER
        self.is_stopped = False
        self.is_abandoned = False

    def take(self, until_s: float) -> Arrival | None:
        if self._next_s > until_s:
            self._clock.now_s = max(self._clock.now_s, until_s)
            return None
        self._clock.now_s = max(self._clock.now_s, self._next_s)
        _, item = self._events.pop(0)
        arrival = Arrival(item, self._next_s)
        following = self._events[0][0] if self._events else FOREVER
        self._next_s += following
        return arrival

    def wake(self):
        pass

    def stop(self):
        self.is_stopped = True

    def abandon(self):
        self.is_abandoned = True


class ScriptedCalls:
    """Opens, for each backend by name, its scripts in turn, the last one again."""

    def __init__(self, clock, **scripts):
        self._clock = clock
        self._scripts = scripts
        self.opened: list[tuple[str, ScriptedCall]] = []

    def __call__(self, backend, request, deadlines):
        scripts = self._scripts[backend.name]
        number = sum(name == backend.name for name, _ in self.opened)
        call = ScriptedCall(self._clock, scripts[min(number, len(scripts) - 1)])
        self.opened.append((backend.name, call))
        return call

    @property
    def names(self):
        return [name for name, _ in self.opened]


def says(*texts, pause_s=0.1):
    return [*((pause_s, Delta(text)) for text in texts), (pause_s, DONE)]
