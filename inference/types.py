"""The values that cross the border of `inference`: requests in, deltas and results out.

A backend yields `Delta`s, may say meanwhile what was used so far (`Usage`), and ends
with one `Completion`. The router yields what
a visitor may see (`Delta`, `Reset`), says which backend is called
(`AttemptStarted`), and ends with one `Routed`.
"""

import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One text by one author, as the model reads it."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Quotable:
    """A sentence of the prompt that may be the answer.

    `weight`, at least 0, is how well it fits the question as far as the application
    can tell without a model.
    """

    text: str
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen. Raises ValueError on values out of range.

    Temperature 0 takes the likeliest token each time. Above it one is drawn among
    the `top_k` likeliest (0: all), of them the fewest whose chances reach `top_p`
    together, of them those at least `min_p` times as likely as the likeliest.
    `repetition_penalty` makes tokens among the last `repetition_window` of prompt and
    reply less likely: logits above 0 are divided by it, others multiplied. The same
    `seed` draws the same.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("top_k", "repetition_window", "seed"):
            value = getattr(self, name)
            if type(value) is not int and not (name == "seed" and value is None):
                raise ValueError(f"{name} must be a whole number, not {value!r}")
        for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
            value = getattr(self, name)
            if type(value) not in {int, float} or math.isnan(value):
                raise ValueError(f"{name} must be a number, not {value!r}")
        for name, (is_in_range, words) in self._check_ranges().items():
            if not is_in_range:
                raise ValueError(f"{name} must be {words}, not {getattr(self, name)}")

    def _check_ranges(self) -> dict[str, tuple[bool, str]]:
        """Return for each value whether it is in its range, and the range."""
        return {
            "temperature": (0.0 <= self.temperature <= 2.0, "in [0, 2]"),
            "top_p": (0.0 < self.top_p <= 1.0, "in (0, 1]"),
            "top_k": (self.top_k >= 0, "at least 0"),
            "min_p": (0.0 <= self.min_p <= 1.0, "in [0, 1]"),
            "repetition_penalty": (0.0 < self.repetition_penalty <= 2.0, "in (0, 2]"),
            "repetition_window": (self.repetition_window >= 0, "at least 0"),
            "seed": (0 <= (self.seed or 0) < 2**63, "in [0, 2**63)"),
        }


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a backend is asked to write.

    Sampling values are those of `SamplingParams`; None leaves one to the backend,
    whose row may say. `stop` strings end the reply before they begin. `grammar`
    (GBNF, as llama.cpp reads it, from its rule `root`) or `json_schema` is kept to by
    the whole reply; a backend that cannot refuses the request. `quotable` are
    sentences of the last message, in their order; a backend that can do it lets the
    model name one and quotes it word for word, unless there is a grammar or schema.
    Raises ValueError on values out of range.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    quotable: tuple[Quotable, ...] = ()
    request_id: str = ""
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    repetition_window: int | None = None
    grammar: str = ""
    json_schema: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a request needs at least one message")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be positive, not {self.max_tokens}")
        if not all(self.stop):
            raise ValueError("a stop string must not be empty")
        if self.grammar and self.json_schema is not None:
            raise ValueError("a reply cannot follow a grammar and a schema at once")
        if self.json_schema is not None:
            _check_json(self.json_schema)
        self.choose_sampling(SamplingParams())

    @property
    def is_constrained(self) -> bool:
        """Return whether the reply has to keep to a grammar or a schema."""
        return bool(self.grammar) or self.json_schema is not None

    def choose_sampling(self, defaults: SamplingParams) -> SamplingParams:
        """Return how to sample: as asked, and where nothing is said by `defaults`."""
        said = {name: getattr(self, name) for name in SAMPLING_NAMES}
        return SamplingParams(
            **{
                name: getattr(defaults, name) if value is None else value
                for name, value in said.items()
            }
        )


SAMPLING_NAMES = tuple(field.name for field in fields(SamplingParams))


def _check_json(schema: Mapping[str, object]) -> None:
    try:
        json.dumps(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the schema is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of reply text as it arrives; never empty, may hold several tokens."""

    text: str


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call.

    `cached_tokens`, which were read from a cache, and `cache_write_tokens`, which were
    written into it at a price of their own, are parts of `prompt_tokens`;
    `reasoning_tokens`, which the model thought and nobody reads, of
    `completion_tokens`. `is_estimated` says that the backend did not count all of it:
    some of the numbers are ours, from the texts (routing/usage.py).
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class EngineTimings:
    """What only our own engine can see of a call.

    `waiting_ms` is the time before the first token of the prompt was computed;
    `itl_ms` the median gap between two tokens, None with fewer than two; `busy_ms`
    this call's share of the engine's computing, by tokens of each step.
    """

    waiting_ms: int
    itl_ms: int | None
    busy_ms: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """How a call to a backend ended, the last item of its stream.

    `usage` is None where the backend did not say. `model` is the name the backend
    answers under, which may be more exact than the one it was asked for. `request_id`
    is what the provider calls the call, for questions to its support.
    """

    finish_reason: FinishReason
    usage: Usage | None
    model: str
    engine: EngineTimings | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How much more a provider said it will take, and in how many seconds it takes all.

    None where it said nothing.
    """

    requests_left: int | None = None
    requests_reset_s: float | None = None
    tokens_left: int | None = None
    tokens_reset_s: float | None = None


class DeadlineKind(StrEnum):
    """Which wait took too long."""

    CONNECT = "connect"
    FIRST_TOKEN = "first_token"  # noqa: S105 - a token of text, not a secret
    GAP = "gap"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long to wait, in seconds.

    `connect_s`, `first_token_s` and `gap_s` hold for each call (the first two count
    from its start); `total_s` covers all calls of a request together.
    """

    connect_s: float = 3.0
    first_token_s: float = 15.0
    gap_s: float = 15.0
    total_s: float = 60.0

    def __post_init__(self) -> None:
        waits = (self.connect_s, self.first_token_s, self.gap_s, self.total_s)
        if min(waits) <= 0:
            raise ValueError(f"deadlines must be positive: {self}")


class AttemptOutcome(StrEnum):
    """What became of one call to one backend."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """Says that a backend is called as soon as the next item is asked for.

    `number` counts the calls of one request from 1. `host` is where it computes, empty
    for here.
    """

    backend: str
    model: str
    number: int
    host: str = ""
    region: str = ""
    leaves_house: bool = False


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One call to one backend, measured; reported exactly once.

    `error` is the name of the class in `inference.errors` and `error_detail` its
    message, both empty unless the outcome is `failed`. `ttft_ms` is None when no
    text came. `num_deltas` tells whether a failure came before the first delta.
    `usage` is None where nothing can have been billed: the call was never accepted.
    `cost_usd` is what the provider bills, None where no price is known, and
    `hardware_usd` the share of our own hardware's cost, None where that is not known.
    """

    backend: str
    model: str
    number: int
    outcome: AttemptOutcome
    started_at: datetime
    duration_ms: int
    ttft_ms: int | None = None
    num_deltas: int = 0
    error: str = ""
    error_detail: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    engine: EngineTimings | None = None
    request_id: str = ""
    cost_usd: Decimal | None = None
    hardware_usd: Decimal | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """Return how many tokens it read, None where that is not known."""
        return self.usage.prompt_tokens if self.usage else None

    @property
    def completion_tokens(self) -> int | None:
        """Return how many tokens it wrote, None where that is not known."""
        return self.usage.completion_tokens if self.usage else None


@dataclass(frozen=True, slots=True)
class Reset:
    """Says that the text so far is void: its backend failed, the next one starts anew.

    `backend` is the one that failed, `error` the class name of its error.
    """

    backend: str
    error: str


@dataclass(frozen=True, slots=True)
class Routed:
    """The whole reply and how it came about, the last item of the router's stream.

    `text` is the sum of the deltas since the last reset. The last of `attempts` is
    the call that wrote it; there is none if it was cancelled before the first call.
    `stands_in_for` is the backend that would have written it, had it not been full, too
    slow or not loaded yet; `spilled_from` the same where it was too slow.
    """

    text: str
    completion: Completion
    attempts: tuple[AttemptReport, ...]
    spilled_from: str = ""
    stands_in_for: str = ""


RoutedItem = AttemptStarted | Delta | Reset | Routed
StreamItem = Delta | Usage | Completion


class CancelToken:
    """Tells everybody who works on a request that it is no longer wanted.

    Threads may share it. Cancelling is final.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._callbacks: dict[object, Callable[[], None]] = {}

    @property
    def is_cancelled(self) -> bool:
        """Return whether `cancel` was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Cancel, wake every waiter and run the callbacks once, on this thread."""
        with self._lock:
            self._event.set()
            callbacks, self._callbacks = self._callbacks, {}
        for callback in callbacks.values():
            callback()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until cancelled, at most `timeout_s`; return whether it was."""
        return self._event.wait(timeout_s)

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when cancelled, at once if that is past; return the undo.

        The callback must be short and must not raise.
        """
        key = object()
        with self._lock:
            if not self._event.is_set():
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback()
        return lambda: None

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)
