"""Anthropic's messages: what it takes, and what it says to the rest."""

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
from tests.inference.providers.tokens import MarkedCache, build_prompt
from tests.inference.providers.wire import Request

_FIELDS = {
    "cache_control", "container", "context_management", "inference_geo", "max_tokens",
    "messages", "metadata", "model", "output_config", "service_tier", "speed",
    "stop_sequences", "stream", "system", "temperature", "thinking", "tool_choice",
    "tools", "top_k", "top_p",
}  # fmt: skip
_MAX_MARKS = 4
_SMALLEST_THINKING = 1024
_END_WORDS = {
    "stop": "end_turn", "length": "max_tokens", "stop_sequence": "stop_sequence"
}  # fmt: skip


class AnthropicDialect(Dialect):
    """POST /v1/messages."""

    name = "anthropic"
    base_path = ""

    def __init__(self) -> None:
        self.cache = MarkedCache()

    def fits(self, request: Request) -> bool:
        return request.path.startswith("/v1/messages")

    def find_model(self, request: Request, body: object) -> str:
        model = body.get("model") if isinstance(body, dict) else ""
        return model if isinstance(model, str) else ""

    def find_key(self, request: Request) -> str:
        return request.headers.get("x-api-key", "")

    def refuse_key(self, key: str) -> Refused:
        return Refused(
            Fault.KEY, "invalid x-api-key" if key else "x-api-key header is required"
        )

    def read(self, request: Request, body: object) -> Wanted:
        if request.path != "/v1/messages":
            raise Refused(Fault.NOT_FOUND, "Not found")
        if request.headers.get("anthropic-version") != "2023-06-01":
            raise _refuse("anthropic-version: header is required")
        if not isinstance(body, dict):
            raise _refuse("The request body is not valid JSON")
        if unknown := sorted(set(body) - _FIELDS):
            raise _refuse(f"{unknown[0]}: Extra inputs are not permitted")
        for name in ("model", "max_tokens", "messages"):
            if name not in body:
                raise _refuse(f"{name}: Field required")
        _check_choices(body)
        parts = [*_read_system(body), *_read_messages(body)]
        if (num_marks := sum(is_marked for *_, is_marked in parts)) > _MAX_MARKS:
            raise _refuse(
                "A maximum of 4 blocks with cache_control may be provided. "
                f"Found {num_marks}."
            )
        return Wanted(
            body["model"],
            build_prompt(parts),
            body["max_tokens"],
            tuple(body.get("stop_sequences") or ()),
            thinks=(body.get("thinking") or {}).get("type") in {"enabled", "adaptive"},
        )

    def end_word(self, reason: str) -> str:
        return _END_WORDS[reason]

    def refuse_model(self, model: str) -> Refused:
        words = f"model: {model}"
        return Refused(Fault.NOT_FOUND, words)

    def refuse_length(self, num_tokens: int, limit_tokens: int) -> Refused:
        return Refused(
            Fault.TOO_LONG,
            f"prompt is too long: {num_tokens} tokens > {limit_tokens} maximum",
        )


def _check_choices(body: Body) -> None:
    """Check everything but the messages."""
    if not isinstance(body["model"], str) or not body["model"]:
        raise _refuse("model: String should have at least 1 character")
    if not is_count(body["max_tokens"]):
        raise _refuse("max_tokens: Input should be greater than or equal to 1")
    if body.get("stream") is not True:
        raise _refuse("stream: the stand-in streams only")
    for name, highest in {"temperature": 1, "top_p": 1, "top_k": 500}.items():
        if not check_number(body, name, 0, highest):
            raise _refuse(f"{name}: range: 0..{highest}")
    if "temperature" in body and "top_p" in body:
        raise _refuse(
            "`temperature` and `top_p` cannot both be specified for this model. "
            "Please use only one."
        )
    stops = body.get("stop_sequences", [])
    if not isinstance(stops, list) or not all(isinstance(s, str) for s in stops):
        raise _refuse("stop_sequences: Input should be a valid list")
    if not all(stop.strip() for stop in stops):
        raise _refuse("stop_sequences: each stop sequence must contain non-whitespace")
    _check_thinking(body)


def _check_thinking(body: Body) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in {"enabled", "disabled", "adaptive"}:
        raise _refuse(f"thinking: Input tag '{kind}' found using 'type' does not match")
    if kind != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if not is_count(budget) or budget < _SMALLEST_THINKING:
        raise _refuse(
            "thinking.enabled.budget_tokens: Input should be greater than or equal "
            "to 1024"
        )
    if budget >= body["max_tokens"]:
        raise _refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature", 1) != 1 or "top_k" in body:
        raise _refuse("`temperature` may only be set to 1 when thinking is enabled.")


def _read_system(body: Body) -> list[tuple[str, str, bool]]:
    if "system" not in body:
        return []
    return _read_content("system", body["system"], "system")


def _read_messages(body: Body) -> list[tuple[str, str, bool]]:
    messages = body["messages"]
    if not isinstance(messages, list) or not messages:
        raise _refuse("messages: at least one message is required")
    parts = []
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in {"user", "assistant"}:
            raise _refuse(
                f"{place}.role: Input should be 'user' or 'assistant'"
                if role != "system"
                else 'messages: Unexpected role "system". The Messages API accepts a '
                'top-level `system` parameter, not "system" as an input message role.'
            )
        if unknown := sorted(set(message) - {"role", "content"}):
            raise _refuse(f"{place}.{unknown[0]}: Extra inputs are not permitted")
        parts += _read_content(role, message.get("content"), place)
    if messages[0]["role"] != "user":
        raise _refuse('messages: first message must use the "user" role')
    last = parts[-1]
    if last[0] == "assistant" and last[1] != last[1].rstrip():
        raise _refuse(
            "messages: final assistant content cannot end with trailing whitespace"
        )
    return parts


def _read_content(role: str, content: Any, place: str) -> list[tuple[str, str, bool]]:
    """Return (role, text, is marked) of each block."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise _refuse(f"{place}.content: Input should be a valid list")
    if not content:
        raise _refuse(f"{place}: all messages must have non-empty content")
    parts = []
    for index, block in enumerate(content):
        is_text = isinstance(block, dict) and block.get("type") == "text"
        if not is_text or not isinstance(block.get("text"), str):
            raise _refuse(f"{place}.content.{index}.text.text: Field required")
        if not block["text"]:
            raise _refuse("messages: text content blocks must be non-empty")
        unknown = sorted(set(block) - {"type", "text", "cache_control", "citations"})
        if unknown:
            raise _refuse(
                f"{place}.content.{index}.text.{unknown[0]}: Extra inputs are not "
                "permitted"
            )
        mark = block.get("cache_control")
        if mark is not None and mark.get("type") != "ephemeral":
            raise _refuse(f"{place}.content.{index}.text.cache_control: Invalid type")
        parts.append((role, block["text"], mark is not None))
    return parts


def _refuse(message: str) -> Refused:
    return Refused(Fault.BAD_REQUEST, message)
