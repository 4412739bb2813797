"""What the host and its child process say to each other: one JSON object a line.

JSON and not pickle: a model file that takes over the child must not be able to run
code in the process that holds the keys. Orders go down, events come up.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inference import errors
from inference.engine.config import Adapter, EngineConfig
from inference.engine_stats import EngineStats
from inference.types import (
    ChatMessage,
    Completion,
    CompletionRequest,
    EngineTimings,
    FinishReason,
    Quotable,
    SamplingParams,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Load:
    """Order: load this; the first one, and only once."""

    config: EngineConfig


@dataclass(frozen=True, slots=True)
class Submit:
    """Order: answer this request; `key` is the host's name for it."""

    key: str
    request: CompletionRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """Order: stop this request; one that is unknown or over is no error."""

    key: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Event: ready for requests of up to `limit_tokens`, prompt and answer together."""

    model: str
    template: str
    limit_tokens: int
    num_cells: int


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """Event: the model cannot be used; the child exits."""

    reason: str


@dataclass(frozen=True, slots=True)
class Text:
    """Event: the next piece of a reply."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Event: a reply is whole."""

    key: str
    completion: Completion


@dataclass(frozen=True, slots=True)
class Refused:
    """Event: a request will not be answered."""

    key: str
    error: errors.BackendError


Order = Load | Submit | Cancel
Event = Loaded | LoadFailed | Text | Finished | Refused | EngineStats


def encode(item: Order | Event) -> bytes:
    """Return one line, line break included."""
    fields = _encode_refusal(item) if isinstance(item, Refused) else asdict(item)
    fields["type"] = type(item).__name__
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def decode_order(line: bytes) -> Order:
    """Return what the host says; raises ValueError on anything else."""
    item = _decode(line)
    if not isinstance(item, Order):
        raise ValueError(f"not an order: {type(item).__name__}")
    return item


def decode_event(line: bytes) -> Event:
    """Return what the child says; raises ValueError on anything else."""
    item = _decode(line)
    if not isinstance(item, Event):
        raise ValueError(f"not an event: {type(item).__name__}")
    return item


def _decode(line: bytes) -> Order | Event:
    try:
        fields = json.loads(line)
        return _DECODERS[fields.pop("type")](fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message between host and child: {error!r}") from error


def _encode_refusal(item: Refused) -> dict[str, Any]:
    error = item.error
    fields: dict[str, Any] = {"key": item.key, "reason": str(error)}
    fields["error"] = type(error).__name__
    if isinstance(error, errors.PromptTooLong):
        fields["sizes"] = [error.prompt_tokens, error.max_tokens, error.limit_tokens]
    return fields


def _decode_refusal(fields: Mapping[str, Any]) -> Refused:
    if "sizes" in fields:
        return Refused(fields["key"], errors.PromptTooLong(*fields["sizes"]))
    return Refused(fields["key"], _REFUSALS[fields["error"]](fields["reason"]))


def _decode_load(fields: Mapping[str, Any]) -> Load:
    values = dict(fields["config"])
    values["sampling"] = SamplingParams(**values["sampling"])
    values["adapters"] = tuple(Adapter(**a) for a in values["adapters"])
    return Load(EngineConfig(**values))


def _decode_submit(fields: Mapping[str, Any]) -> Submit:
    request = dict(fields["request"])
    request["messages"] = tuple(ChatMessage(**m) for m in request["messages"])
    request["stop"] = tuple(request["stop"])
    request["quotable"] = tuple(Quotable(**q) for q in request["quotable"])
    return Submit(fields["key"], CompletionRequest(**request))


def _decode_finished(fields: Mapping[str, Any]) -> Finished:
    values = dict(fields["completion"])
    values["finish_reason"] = FinishReason(values["finish_reason"])
    values["usage"] = Usage(**values["usage"])
    values["engine"] = EngineTimings(**values["engine"])
    return Finished(fields["key"], Completion(**values))


_REFUSALS: dict[str, Callable[[str], errors.BackendError]] = {
    "RequestRejected": errors.RequestRejected,
    "InvalidResponse": errors.InvalidResponse,
}

_DECODERS: dict[str, Callable[[dict[str, Any]], Order | Event]] = {
    "Load": _decode_load,
    "Submit": _decode_submit,
    "Cancel": lambda fields: Cancel(**fields),
    "Loaded": lambda fields: Loaded(**fields),
    "LoadFailed": lambda fields: LoadFailed(**fields),
    "Text": lambda fields: Text(**fields),
    "Finished": _decode_finished,
    "Refused": _decode_refusal,
    "EngineStats": lambda fields: EngineStats(**fields),
}
