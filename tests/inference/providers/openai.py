"""OpenAI's chat completions: what it takes, and what it says to the rest."""

import re
from typing import Any

from tests.inference.providers.dialect import (
    Body,
    Dialect,
    Refused,
    Wanted,
    check_number,
    is_count,
)
from tests.inference.providers.faults import Fault
from tests.inference.providers.tokens import ImplicitCache, build_prompt
from tests.inference.providers.wire import Request

_FIELDS = {
    "audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens",
    "max_tokens", "messages", "metadata", "modalities", "model", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
    "prompt_cache_retention", "reasoning_effort", "response_format",
    "safety_identifier", "seed", "service_tier", "stop", "store", "stream",
    "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
    "user", "verbosity", "web_search_options",
}  # fmt: skip
_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_REASONING = re.compile(r"^(o\d|gpt-5(?!.*-chat))")
_MAX_STOPS = 4
_LONGEST = 128_000


class OpenAIDialect(Dialect):
    """POST /v1/chat/completions."""

    name = "openai"
    base_path = "/v1"

    def __init__(self) -> None:
        self.cache = ImplicitCache()

    def fits(self, request: Request) -> bool:
        return request.path.startswith("/v1/chat/")

    def find_model(self, request: Request, body: object) -> str:
        model = body.get("model") if isinstance(body, dict) else ""
        return model if isinstance(model, str) else ""

    def find_key(self, request: Request) -> str:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        return key.strip() if kind.lower() == "bearer" else ""

    def refuse_key(self, key: str) -> Refused:
        if not key:
            words = (
                "You didn't provide an API key. You need to provide your API key in an "
                "Authorization header using Bearer auth (i.e. Authorization: Bearer "
                "YOUR_KEY)."
            )
            return Refused(Fault.KEY, words)
        # like the real one it repeats the key, though not all of it
        shown = f"{key[:8]}{'*' * max(len(key) - 12, 0)}{key[-4:]}"
        words = (
            f"Incorrect API key provided: {shown}. You can find your API key at "
            "https://platform.openai.com/account/api-keys."
        )
        return Refused(Fault.KEY, words)

    def read(self, request: Request, body: object) -> Wanted:
        if request.path != "/v1/chat/completions":
            raise Refused(Fault.NOT_FOUND, f"Invalid URL (POST {request.path})")
        if not isinstance(body, dict):
            raise _refuse("We could not parse the JSON body of your request.")
        if unknown := sorted(set(body) - _FIELDS):
            raise _refuse(f"Unrecognized request argument supplied: {unknown[0]}")
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise _refuse("you must provide a model parameter")
        _check_choices(body)
        return Wanted(
            body["model"],
            build_prompt(
                (m["role"], _read_content(m, i), False)
                for i, m in enumerate(_read_messages(body))
            ),
            body.get("max_completion_tokens") or body.get("max_tokens") or 16_384,
            _read_stops(body),
            thinks=_reasons(body),
            wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def end_word(self, reason: str) -> str:
        return "length" if reason == "length" else "stop"

    def refuse_model(self, model: str) -> Refused:
        words = f"The model `{model}` does not exist or you do not have access to it."
        return Refused(Fault.NOT_FOUND, words)

    def refuse_length(self, num_tokens: int, limit_tokens: int) -> Refused:
        words = (
            f"This model's maximum context length is {limit_tokens} tokens. However, "
            f"your messages resulted in {num_tokens} tokens. Please reduce the length "
            "of the messages."
        )
        return Refused(Fault.TOO_LONG, words)


def _reasons(body: Body) -> bool:
    is_reasoning = bool(_REASONING.match(body["model"]))
    return is_reasoning and body.get("reasoning_effort") != "none"


def _check_choices(body: Body) -> None:
    """Check everything but the messages."""
    if body.get("stream") is not True:
        raise _refuse("The stand-in streams only: 'stream' must be true.")
    if not isinstance(body.get("stream_options") or {}, dict):
        raise _refuse("Invalid type for 'stream_options': expected an object.")
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body and not is_count(body[name]):
            raise _refuse(
                f"Invalid '{name}': integer below minimum value. Expected a value >= 1."
            )
        if body.get(name, 0) > _LONGEST:
            raise _refuse(f"{name} is too large: {body[name]}.")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise _refuse(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is "
            "not supported."
        )
    ranges = {"temperature": 2, "top_p": 1, "seed": 2**63}
    for name, highest in ranges.items():
        if not check_number(body, name, 0, highest):
            raise _refuse(
                f"Invalid '{name}': expected a value between 0 and {highest}."
            )
    if body.get("n", 1) != 1:
        raise _refuse("Invalid 'n': the stand-in gives one answer.")
    _check_reasoning(body)


def _check_reasoning(body: Body) -> None:
    """Check what models that reason refuse, and others too."""
    if not _REASONING.match(body["model"]):
        if "reasoning_effort" in body:
            raise _refuse("Unrecognized request argument supplied: reasoning_effort")
        return
    if "max_tokens" in body:
        raise _refuse(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            raise _refuse(
                f"Unsupported value: '{name}' does not support {body[name]} with this "
                "model. Only the default (1) value is supported."
            )
    if "stop" in body:
        raise _refuse("Unsupported parameter: 'stop' is not supported with this model.")


def _read_messages(body: Body) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _refuse(
            "Invalid 'messages': empty array. Expected an array with minimum length 1."
        )
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            raise _refuse(
                f"Invalid value: '{role}'. Supported values are: 'system', "
                "'assistant', 'user', 'function', 'tool', and 'developer'."
            )
        if unknown := sorted(set(message) - {"role", "content", "name", "refusal"}):
            raise _refuse(f"Unknown parameter: 'messages[{index}].{unknown[0]}'.")
    return messages


def _read_content(message: dict[str, Any], index: int) -> str:
    """Return the text of a message, which is a string or a list of text parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        texts = [p.get("text") for p in content if isinstance(p, dict)]
        if len(texts) == len(content) and all(isinstance(t, str) for t in texts):
            return "".join(str(text) for text in texts)
    raise _refuse(
        f"Invalid value for 'content': expected a string, got null. (messages[{index}])"
    )


def _read_stops(body: Body) -> tuple[str, ...]:
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    is_list = isinstance(stops, list) and all(isinstance(s, str) and s for s in stops)
    if not is_list or len(stops) > _MAX_STOPS:
        raise _refuse(
            "Invalid 'stop': array too long. Expected an array with maximum length 4."
        )
    return tuple(stops)


def _refuse(message: str) -> Refused:
    return Refused(Fault.BAD_REQUEST, message)
