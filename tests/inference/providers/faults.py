"""What the stand-in can be told to do wrong, and in which words.

A fault is a name, for some with a value: `429`, `429:30` (come back in 30 s),
`slow:0.5` (a pause before each piece). Those of `LINE_FAULTS` happen before a byte of
HTTP is exchanged: they are a base URL of their own (`Provider.url`), not an answer.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Every fault; where one can come before and during the text, each has a name."""

    NONE = "none"
    # no answer at all
    REFUSE = "refuse"
    DNS = "dns"
    TLS_CERTIFICATE = "tls-certificate"
    TLS_PLAIN = "tls-plain"
    # a refusal
    BAD_REQUEST = "400"
    KEY = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    RATE_LIMIT = "429"
    SERVER_ERROR = "500"
    OVERLOADED = "529"
    QUOTA = "quota"
    TOO_LONG = "too-long"
    # before the first text
    HANG_BEFORE_HEADERS = "hang-before-headers"
    HANG_BEFORE_FIRST_TOKEN = "hang-before-first-token"
    RESET = "reset"
    CUT = "cut"
    HALF_LINE = "half-line"
    ERROR_EVENT = "error-event"
    OVERLOAD_EVENT = "overload-event"
    REFUSAL = "refusal"
    EMPTY = "empty"
    WRONG_TYPE = "wrong-type"
    REDIRECT = "redirect"
    GZIP_BOMB = "gzip-bomb"
    FLOOD = "flood"
    # after some text
    HANG_MID_STREAM = "hang-mid-stream"
    RESET_MID_STREAM = "reset-mid-stream"
    CUT_MID_STREAM = "cut-mid-stream"
    HALF_LINE_MID_STREAM = "half-line-mid-stream"
    ERROR_EVENT_MID_STREAM = "error-event-mid-stream"
    OVERLOAD_EVENT_MID_STREAM = "overload-event-mid-stream"
    REFUSAL_MID_STREAM = "refusal-mid-stream"
    FLOOD_MID_STREAM = "flood-mid-stream"
    # no fault in the answer, only in its pace
    SLOW = "slow"


LINE_FAULTS = (Fault.REFUSE, Fault.DNS, Fault.TLS_CERTIFICATE, Fault.TLS_PLAIN)
# played from the recording of a good answer
UNRECORDED = (Fault.SLOW, *LINE_FAULTS)

# these say when to come back
BUSY = (Fault.RATE_LIMIT, Fault.OVERLOADED)

_DEFAULT_RETRY_AFTER_S = 7.0
_DEFAULT_PAUSE_S = 0.3
_VALUES = {
    **dict.fromkeys(BUSY, _DEFAULT_RETRY_AFTER_S),
    Fault.SLOW: _DEFAULT_PAUSE_S,
}


@dataclass(frozen=True, slots=True)
class Order:
    """One fault to be played; `value` is what its name takes, 0 where it takes none."""

    fault: Fault
    value: float = 0.0


def parse_order(text: str) -> Order:
    """Return what `429:30` and the like stand for; raises ValueError."""
    name, _, value = text.strip().partition(":")
    try:
        fault = Fault(name)
    except ValueError:
        names = ", ".join(Fault)
        raise ValueError(f"no fault {name!r}; there are {names}") from None
    if not value:
        return Order(fault, _VALUES.get(fault, 0.0))
    if fault not in _VALUES:
        raise ValueError(f"the fault {name!r} takes no value")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 86_400:
        raise ValueError(f"{name!r} takes seconds, not {value!r}")
    return Order(fault, number)


class Script:
    """Which fault comes next: those that were queued, in order, then the standing one.

    Threads share it. Line faults cannot be queued: nothing arrives that could take one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Order] = deque()
        self._standing = Order(Fault.NONE)

    def stand(self, order: Order | str) -> None:
        """Play this in each call from now on; drops what was queued."""
        checked = _check(order)
        with self._lock:
            self._queue.clear()
            self._standing = checked

    def queue(self, orders: Iterable[Order | str]) -> None:
        """Play these, one a call, before the standing one comes again."""
        checked = [_check(order) for order in orders]
        with self._lock:
            self._queue.extend(checked)

    def take(self) -> Order:
        """Return what the next call is to play."""
        with self._lock:
            return self._queue.popleft() if self._queue else self._standing


def _check(order: Order | str) -> Order:
    order = parse_order(order) if isinstance(order, str) else order
    if order.fault in LINE_FAULTS:
        raise ValueError(f"{order.fault} is another base URL, not an answer")
    return order
