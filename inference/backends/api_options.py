"""The options that rows of all APIs have in common, read with care.

temperature ...    the values of `SamplingParams`, where a request says nothing
omit               fields of the request that the model refuses
extra_body         fields to add to the request
thinking_tokens    how much the model may think before it answers, on top of the
                   length of the answer
"""

from collections.abc import Collection, Mapping, Sequence

from inference.backends.sampling_options import read_sampling
from inference.errors import RequestRejected
from inference.types import SAMPLING_NAMES, ChatMessage, CompletionRequest


def check_names(options: Mapping[str, object], known: Collection[str]) -> None:
    """Raise ValueError if there are options of other names."""
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"unknown options {unknown}; there are {', '.join(known)}")


def read_said_sampling(options: Mapping[str, object]) -> Mapping[str, object]:
    """Return the row's sampling values, those that it has; raises ValueError."""
    read_sampling(options)
    return {name: options[name] for name in SAMPLING_NAMES if name in options}


def choose_said(
    request: CompletionRequest, said: Mapping[str, object]
) -> dict[str, object]:
    """Return the sampling values that the request names, or else the row.

    The others are left to the model: those that reason refuse values or are harmed by
    them.
    """
    asked = {name: getattr(request, name) for name in SAMPLING_NAMES}
    return {
        **said,
        **{name: value for name, value in asked.items() if value is not None},
    }


def read_omit(
    options: Mapping[str, object], omittable: Collection[str]
) -> tuple[str, ...]:
    """Return the fields to leave out; raises ValueError for others than allowed."""
    omit = options.get("omit", [])
    if not isinstance(omit, list) or not all(
        isinstance(name, str) and name in omittable for name in omit
    ):
        raise ValueError(f"omit must be a list of some of {', '.join(omittable)}")
    return tuple(omit)


def read_extra_body(
    options: Mapping[str, object], taken: Collection[str]
) -> Mapping[str, object]:
    """Return the fields to add; raises ValueError for those that we fill."""
    extra_body = options.get("extra_body", {})
    if not isinstance(extra_body, dict):
        raise ValueError(f"extra_body must be an object, not {extra_body!r}")
    if found := sorted(set(taken) & set(extra_body)):
        raise ValueError(f"extra_body must not hold {', '.join(found)}")
    return extra_body


def read_thinking_tokens(
    options: Mapping[str, object], default: int | None, smallest: int = 1
) -> int | None:
    """Return the option; 0 is off. Raises ValueError unless it is a count or null.

    What is not off is at least `smallest`.
    """
    value = options.get("thinking_tokens", default)
    if value is None:
        return None
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not is_count or (value != 0 and value < smallest):  # type: ignore[operator]
        raise ValueError(
            f"thinking_tokens must be 0, null or at least {smallest}, not {value!r}"
        )
    return value  # type: ignore[return-value]  # is_count says so


def read_flag(options: Mapping[str, object], name: str, default: bool = True) -> bool:
    """Return an option that is true or false; raises ValueError for others."""
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def merge_messages(
    messages: Sequence[ChatMessage],
) -> tuple[str, tuple[ChatMessage, ...]]:
    """Return the system prompt and the rest, in which no role comes twice in a row.

    For APIs where the system prompt stands apart. Messages without words are left out,
    as they are refused. Raises RequestRejected if nothing is left to answer.
    """
    spoken = [message for message in messages if message.content.strip()]
    system = [message.content for message in spoken if message.role == "system"]
    merged: list[ChatMessage] = []
    for message in spoken:
        if message.role == "system":
            continue
        if merged and merged[-1].role == message.role:
            text = f"{merged[-1].content}\n\n{message.content}"
            merged[-1] = ChatMessage(message.role, text)
        else:
            merged.append(message)
    if not merged:
        raise RequestRejected("there is no message to answer")
    return "\n\n".join(system), tuple(merged)
